//! The signals that stop workers.

use std::convert::Infallible;
use std::{io, process};

use tracing::{error, info, warn};

use crate::error::{Error, ErrorKind, Result};

/// Which signals stop workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signals {
    /// SIGTERM, SIGINT and SIGQUIT; Ctrl-C where there are no signals.
    #[default]
    All,
    /// None: only the handle stops it.
    Off,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signal {
    name: &'static str,
    number: i32,
}

/// Waits for signals, one after another. Each listener of a process gets each signal, from when it is made.
pub(crate) struct Listener {
    #[cfg(unix)]
    streams: Vec<(tokio::signal::unix::Signal, Signal)>,
    #[cfg(not(unix))]
    on: bool,
}

impl Listener {
    /// Begins to listen.
    pub(crate) fn new(signals: Signals) -> Result<Self> {
        Self::listen(signals).map_err(|error| {
            let what = "cannot listen for signals; call signals_off() where they are not needed";
            Error::new(ErrorKind::InvalidInput, what).with_source(error)
        })
    }

    /// Goes through the stages of stopping: the first signal stops, the second cancels, the third ends the process.
    pub(crate) async fn escalate(mut self, stop: impl FnOnce(&'static str), cancel: impl FnOnce()) -> Infallible {
        let first = self.next().await;
        info!(signal = first.name, "stopping; handlers may finish, a second signal cancels them");
        stop(first.name);
        let second = self.next().await;
        warn!(signal = second.name, "cancelling handlers; a third signal ends the process");
        cancel();
        let third = self.next().await;
        error!(signal = third.name, "ending the process; unsettled messages are delivered again");
        // As a shell reports a process that was ended by the signal.
        process::exit(128 + third.number)
    }

    #[cfg(unix)]
    fn listen(signals: Signals) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        if signals == Signals::Off {
            return Ok(Self { streams: Vec::new() });
        }
        let kinds = [
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::interrupt(), "SIGINT"),
            (SignalKind::quit(), "SIGQUIT"),
        ];
        let listen = |(kind, name): (SignalKind, _)| Ok((signal(kind)?, Signal { name, number: kind.as_raw_value() }));
        Ok(Self { streams: kinds.into_iter().map(listen).collect::<io::Result<_>>()? })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn listen(signals: Signals) -> io::Result<Self> {
        Ok(Self { on: signals == Signals::All })
    }

    /// The next signal; never ready where none is listened for. Cancel safe.
    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (stream, signal) in &mut self.streams {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// The next signal; never ready where none is listened for. Cancel safe.
    #[cfg(not(unix))]
    async fn next(&mut self) -> Signal {
        if !self.on || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal { name: "Ctrl-C", number: 2 }
    }
}
