//! What a server is, and what an operator should mend.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{InfoDict, cmd};
use swarrot_core::{Error, ErrorKind, Result};

use super::Link;
use crate::config::{Config, Mode};

/// The oldest version that works: what was deleted and is still pending is cleaned up from there on.
const OLDEST: (u32, u32) = (7, 0);

/// Clocks that differ by more mislead whoever compares times. The answer's own time on the way is within it.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// What a server said about itself; in a cluster one of its nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) product: String,
    pub(crate) version: String,
    /// It writes an append-only file.
    pub(crate) durable: bool,
    pub(crate) warnings: Vec<String>,
}

impl Server {
    /// Asks the server.
    ///
    /// # Errors
    /// `Unsupported` if the server is too old.
    pub(crate) async fn ask(link: &Link, config: &Config) -> Result<Self> {
        let info = match link.ask_any::<InfoDict>(cmd("INFO").arg("all")).await {
            Ok(info) => info,
            Err(error) if error.kind() == ErrorKind::AccessRefused && is_permission(&error) => {
                // A user without the right to ask. The worst is assumed.
                let warning = "the user may not run INFO: whether messages survive a restart is not known";
                return Ok(Self { product: "Redis".into(), warnings: vec![warning.into()], ..Self::default() });
            }
            Err(error) => return Err(error),
        };
        let text = |name: &str| info.get::<String>(name).unwrap_or_default();
        let valkey = text("server_name") == "valkey";
        let version = if valkey { text("valkey_version") } else { text("redis_version") };
        check_version(&text("redis_version"))?;
        let durable = text("aof_enabled") == "1";
        let mut warnings = Vec::new();
        if !durable {
            warnings.push(
                "the append-only file is off: all messages are lost when the server dies; set appendonly yes".into(),
            );
        } else if text("aof_last_write_status") == "err" {
            warnings.push("the server cannot write its append-only file; mend its disk".into());
        }
        let policy = text("maxmemory_policy");
        if !policy.is_empty() && policy != "noeviction" {
            warnings.push(format!(
                "maxmemory-policy is {policy}: the server may delete queues when memory runs low; set it to noeviction"
            ));
        }
        warnings.extend(info.get::<u64>("server_time_usec").and_then(|theirs| skew(Duration::from_micros(theirs))));
        if config.exposes_credentials() {
            warnings.push("the password crosses the network in clear; use rediss://".into());
        }
        if config.mode == Mode::Cluster {
            warnings
                .push("a message for several queues is published to those on one node as a whole, not to all".into());
        }
        let product = if valkey { "Valkey" } else { "Redis" };
        Ok(Self { product: product.into(), version, durable, warnings })
    }
}

/// Delays end by the server's clock, and failures are noted by ours.
fn skew(theirs: Duration) -> Option<String> {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let apart = ours.abs_diff(theirs);
    (apart > MAX_SKEW).then(|| format!("the server's clock and ours are {} s apart; set them by NTP", apart.as_secs()))
}

fn is_permission(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<redis::RedisError>());
    source.is_some_and(|source| source.code() == Some("NOPERM"))
}

fn check_version(version: &str) -> Result<()> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found >= OLDEST {
        return Ok(());
    }
    let message = format!("the server's version is {version:?}; Redis {}.{} or later is needed", OLDEST.0, OLDEST.1);
    Err(Error::new(ErrorKind::Unsupported, message))
}
