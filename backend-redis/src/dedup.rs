//! What is done, remembered by Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::cmd;
use swarrot_core::layer::{Claim, DedupStore, Owner};
use swarrot_core::{BrokerUrl, Error, Result, async_trait};

use crate::broker::RedisBroker;
use crate::config::Config;
use crate::connection::Link;
use crate::error;
use crate::publisher::millis;
use crate::scripts;

/// Remembers in Redis what is in progress and done, for [`Deduplicate`](swarrot_core::layer::Deduplicate): shared by all workers
/// of all processes, whatever broker their messages are from.
///
/// It has a connection of its own, mended like a broker's. Each key is one string, `swarrot:dedup:` and what the layer calls it
/// (another [`prefix`](RedisBroker::connect) by the URL), which expires by the server's clock; a claim is one script, so that
/// of many at once one is granted. What the server loses when it dies, or drops when memory runs low, is unknown again:
/// a duplicate of it is handled. The store needs the rights that the crate's front page lists.
#[derive(Clone)]
pub struct RedisDedupStore {
    link: Arc<Link>,
    prefix: Arc<str>,
}

impl RedisDedupStore {
    /// Connects; the URL is that of a [broker](RedisBroker::connect).
    ///
    /// # Errors
    /// As [`RedisBroker::connect`], but for the server's version, which may be older.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    pub async fn connect(url: &BrokerUrl) -> Result<Self> {
        let store = Self::lazy(url)?;
        let answer: Result<String> = store.link.ask_any(&cmd("PING")).await;
        answer.map(|_| store).map_err(|error| error.with_operation("connect"))
    }

    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// [`InvalidInput`](swarrot_core::ErrorKind::InvalidInput) for a URL that is none of Redis.
    pub fn lazy(url: &BrokerUrl) -> Result<Self> {
        let named = |error: Error| error.with_operation("connect");
        Ok(Self::new(Arc::new(Config::parse(url).map_err(named)?)))
    }

    fn new(config: Arc<Config>) -> Self {
        Self { prefix: format!("{}:dedup:", config.prefix).into(), link: Arc::new(Link::new(config)) }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl RedisBroker {
    /// A store for [`Deduplicate`](swarrot_core::layer::Deduplicate) on the same server. It connects when it is first used, and
    /// closing the broker does not close it.
    pub fn dedup_store(&self) -> RedisDedupStore {
        RedisDedupStore::new(Arc::clone(self.config()))
    }
}

#[async_trait]
impl DedupStore for RedisDedupStore {
    async fn claim(&self, key: &str, owner: Owner, lease: Duration) -> Result<Claim> {
        let mut claim = scripts::CLAIM.prepare_invoke();
        claim.key(self.key(key)).arg(owner.to_string()).arg(expiry(lease));
        let answer: Result<i64> = self.link.ask(&claim).await;
        match answer.map_err(|error| error.with_operation("claim"))? {
            0 => Ok(Claim::Granted),
            -1 => Ok(Claim::Done),
            left => {
                let left = u64::try_from(left).map_err(|_| error::strange_reply().with_operation("claim"))?;
                Ok(Claim::InProgress(Duration::from_millis(left)))
            }
        }
    }

    async fn done(&self, key: &str, keep: Duration) -> Result<()> {
        let mut set = cmd("SET");
        set.arg(self.key(key)).arg("done").arg("PX").arg(expiry(keep));
        let answer: Result<String> = self.link.command(&set).await;
        answer.map(drop).map_err(|error| error.with_operation("note as done"))
    }

    async fn free(&self, key: &str, owner: Owner) -> Result<()> {
        let mut free = scripts::FREE.prepare_invoke();
        free.key(self.key(key)).arg(owner.to_string());
        let answer: Result<i64> = self.link.ask(&free).await;
        answer.map(drop).map_err(|error| error.with_operation("free"))
    }
}

/// In milliseconds, as the server takes them: not zero, and not beyond its calendar.
fn expiry(time: Duration) -> u64 {
    millis(time).clamp(1, 100 * 365 * 24 * 3_600_000)
}

impl fmt::Debug for RedisDedupStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDedupStore").field("prefix", &self.prefix).field("link", &self.link).finish()
    }
}
