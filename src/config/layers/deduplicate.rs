//! `deduplicate`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::BrokerUrl;
use swarrot_core::layer::{self, DedupStore, MemoryDedupStore};

use super::super::read::{FromValue, Value, options};
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Recognises messages that were handled already, by their ids, and acks them without handling them.
    pub(super) struct Deduplicate {
        /// Where it is kept what is done: the URL of a Redis server, which all workers share. It is connected when it is first used.
        store: Option<Store> => "the memory of this process",
        /// Keys that a store in memory remembers.
        capacity: Option<NonZeroUsize> => "100000",
        /// What keys begin with: queues of one scope share theirs.
        scope: Option<String> => "the queue's name",
        /// How long a message is claimed for a handler that gives no sign of life.
        lease: Option<Duration> => "\"30s\"",
        /// For how long it is known what is done.
        keep: Option<Duration> => "\"24h\"",
        /// What becomes of messages while the store fails: they are handled, or tried again after a time.
        on_store_error: Option<OnStoreError> => "\"handle\"",
    }
}

/// Where it is kept what is done.
#[derive(Clone)]
pub(super) struct Store(Arc<dyn DedupStore>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl FromValue for Store {
    const EXPECTED: &'static str = "the URL of a Redis server, such as \"redis://user:password@host/0\"";
    const KIND: &'static str = "URL";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let opened = value.parse_text(Self::EXPECTED, |text| Some(text.parse().and_then(|url| open(&url))))?;
        opened.map(Self).map_err(|error| value.refuse(format!("the URL is not right: {}", error.message()))).ok()
    }
}

#[cfg(feature = "redis")]
fn open(url: &BrokerUrl) -> swarrot_core::Result<Arc<dyn DedupStore>> {
    Ok(Arc::new(swarrot_redis::RedisDedupStore::lazy(url)?))
}

#[cfg(not(feature = "redis"))]
fn open(_: &BrokerUrl) -> swarrot_core::Result<Arc<dyn DedupStore>> {
    let what = "a store in Redis needs the feature \"redis\"; add it to swarrot's features in Cargo.toml";
    Err(swarrot_core::Error::new(swarrot_core::ErrorKind::Unsupported, what))
}

/// What becomes of messages while the store fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnStoreError(layer::OnStoreError);

impl FromValue for OnStoreError {
    const EXPECTED: &'static str = "\"handle\", or a duration after which they are tried again, such as \"30s\"";
    const KIND: &'static str = "`\"handle\"` or duration";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.parse_text(Self::EXPECTED, |text| match text.trim() {
            "handle" => Some(Self(layer::OnStoreError::Handle)),
            text => humantime::parse_duration(text).ok().map(|after| Self(layer::OnStoreError::RetryAfter(after))),
        })
    }
}

impl LayerOptions for Deduplicate {
    const LAYER: &'static str = "deduplicate";

    fn build(self) -> Result<AnyLayer, Refusal> {
        let store: Arc<dyn DedupStore> = match (self.store, self.capacity) {
            (Some(_), Some(_)) => {
                return Err(Refusal::at(
                    "capacity",
                    "only a store in memory has a \"capacity\"; leave it or \"store\" out",
                ));
            }
            (Some(store), None) => store.0,
            (None, Some(keys)) => Arc::new(MemoryDedupStore::new(keys)),
            (None, None) => Arc::new(MemoryDedupStore::default()),
        };
        let mut once = layer::Deduplicate::new(store);
        if let Some(scope) = self.scope {
            once = once.scope(scope);
        }
        if let Some(lease) = self.lease {
            once = once.lease(lease);
        }
        if let Some(keep) = self.keep {
            once = once.keep(keep);
        }
        if let Some(what) = self.on_store_error {
            once = once.on_store_error(what.0);
        }
        Ok(AnyLayer::new(once))
    }
}
