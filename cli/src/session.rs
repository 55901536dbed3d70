//! What every command has at hand: the connection, the output, and whether it should stop.

use std::fmt;
use std::sync::Arc;

use swarrot::{Broker, BrokerUrl};

use crate::args::Common;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::stop::Stop;

/// Why a command ended before it began.
pub(crate) const STOPPED: &str = "stopped by a signal before it was connected";

/// What every command has at hand.
pub(crate) struct Session {
    url: Option<String>,
    pub(crate) output: Output,
    pub(crate) stop: Stop,
}

impl Session {
    /// # Errors
    /// If it cannot listen for signals.
    pub(crate) fn new(common: Common) -> Result<Self> {
        Ok(Self { url: common.url, output: Output::new(common.json), stop: Stop::on_signals()? })
    }

    /// Connects to the broker that `--url` or `SWARROT_URL` names.
    ///
    /// # Errors
    /// If there is none named, or it does not let us in; a signal ends the attempt.
    pub(crate) async fn connect(&self) -> Result<Arc<dyn Broker>> {
        self.connect_to(None).await
    }

    /// Connects to this broker, or otherwise as [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(crate) async fn connect_to(&self, url: Option<&str>) -> Result<Arc<dyn Broker>> {
        let url = url.map_or_else(|| self.url(), Ok)?;
        tokio::select! {
            connected = swarrot::connect(url) => Ok(connected?),
            () = self.stop.asked() => Err(Failure::signal(STOPPED)),
        }
    }

    /// The broker that `--url` or `SWARROT_URL` names.
    ///
    /// # Errors
    /// If there is none named.
    pub(crate) fn url(&self) -> Result<&str> {
        let missing = "no broker named; use --url or set SWARROT_URL, for instance to amqp://guest:guest@localhost/";
        self.url.as_deref().ok_or_else(|| Failure::usage(missing))
    }

    /// Whether a broker is named.
    pub(crate) fn has_url(&self) -> bool {
        self.url.is_some()
    }

    /// The scheme of this URL, or otherwise of the broker's; empty if there is none.
    pub(crate) fn scheme<'a>(&'a self, url: Option<&'a str>) -> &'a str {
        url.or(self.url.as_deref()).and_then(|url| url.split_once("://")).map_or("", |(scheme, _)| scheme)
    }

    /// The broker as it may be shown, without its password.
    pub(crate) fn broker_name(&self, url: Option<&str>) -> String {
        let parsed = url.or(self.url.as_deref()).and_then(|url| url.parse::<BrokerUrl>().ok());
        parsed.map_or_else(String::new, |url| url.to_string())
    }
}

/// Without the URL.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
