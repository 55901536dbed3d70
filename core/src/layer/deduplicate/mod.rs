//! Handling what comes twice once.

mod hold;
mod memory;
mod store;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use tracing::{debug, info, warn};

use self::hold::Hold;
pub use self::memory::MemoryDedupStore;
pub use self::store::{Claim, DedupStore, Owner};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// The shortest time after which a message comes again whose duplicate is in progress.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Recognises duplicates, and handles each message once, as a rule.
///
/// A publisher that repeats a message after [`Unknown`](crate::ErrorKind::Unknown), a crash between a handler's end and its ack,
/// a broken connection: each delivers a message twice. In two phases: before the handler runs, the message's key is claimed for
/// a [`lease`](Self::lease), which is renewed while the handler runs; when it has succeeded, the key is noted as done, and kept
/// so for [`keep`](Self::keep). A delivery whose key
///
/// - is *done* is acked without being handled, with an event at the level `info`;
/// - is *in progress* is retried when the lease ends ([`Outcome::Retry`] without a reason; it counts as an attempt);
/// - is *unknown* is handled. [`Outcome::Ack`] makes it done; all else, an error included, frees the key, so that a retry or
///   a dead letter that is put back is handled again. So does a handler that is cancelled, as well as it can; if the process
///   dies, the lease ends by itself.
///
/// **It does not make "at least once" into "exactly once"**: a handler that ended just before its process or the store died runs
/// again, and so does what is handled for longer than a lease that cannot be renewed, beside the first. It makes duplicates rare; where they must do no harm, let the handler's own
/// database refuse the second.
///
/// The key is the queue's name and the message's id, unless [`key`](Self::key) says otherwise: a message that goes to two queues
/// is handled in both. A message without an id is handled without being looked up. Publishing a message again by hand with the
/// id of one that is done has no effect while the id is kept.
///
/// If the store fails, messages are handled all the same, unless [`on_store_error`](Self::on_store_error) says otherwise: that
/// loses nothing, and lets duplicates through for as long.
///
/// Each delivery costs two calls of the store, which are boxed, and an allocation for the key.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use swarrot_core::layer::{Deduplicate, MemoryDedupStore};
///
/// let store = Arc::new(MemoryDedupStore::default());
/// let once = Deduplicate::new(store).keep(Duration::from_secs(7 * 24 * 3600));
/// ```
#[derive(Clone)]
pub struct Deduplicate(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    store: Arc<dyn DedupStore>,
    key: Option<KeyOf>,
    scope: Option<String>,
    lease: Duration,
    keep: Duration,
    on_store_error: OnStoreError,
}

type KeyOf = Arc<dyn Fn(&Delivery) -> Option<String> + Send + Sync>;

/// What becomes of messages while the store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreError {
    /// They are handled, duplicates too.
    #[default]
    Handle,
    /// They are retried after this time, again and again, each time as a new attempt.
    RetryAfter(Duration),
}

impl Deduplicate {
    /// With this store, which all workers on a queue have to share.
    pub fn new(store: Arc<dyn DedupStore>) -> Self {
        Self(Arc::new(Settings {
            store,
            key: None,
            scope: None,
            lease: Duration::from_secs(30),
            keep: Duration::from_secs(24 * 3600),
            on_store_error: OnStoreError::default(),
        }))
    }

    /// Makes the key in place of the message's id, such as an order's number from a header. A message for which it is `None` or
    /// empty is handled without being looked up.
    pub fn key(self, key: impl Fn(&Delivery) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.key = Some(Arc::new(key)))
    }

    /// Sets what keys begin with: the queue's name, unless told otherwise. Queues of one scope share their keys, so that what
    /// comes in two of them is handled in one.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.with(|settings| settings.scope = Some(scope.into()))
    }

    /// Sets how long a key is claimed for a handler that gives no sign of life: 30 s, at least a
    /// millisecond and at most a day. It is renewed three times as often.
    pub fn lease(self, lease: Duration) -> Self {
        self.with(|settings| settings.lease = lease.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600)))
    }

    /// Sets for how long it is known what is done: 24 hours. Duplicates that come later are handled.
    pub fn keep(self, keep: Duration) -> Self {
        self.with(|settings| settings.keep = keep)
    }

    /// Decides what becomes of messages while the store fails: they are handled.
    pub fn on_store_error(self, what: OnStoreError) -> Self {
        self.with(|settings| settings.on_store_error = what)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Settings {
    /// By what a delivery is known.
    fn key_of(&self, delivery: &Delivery) -> Option<String> {
        let own = match &self.key {
            Some(key) => Cow::Owned(key(delivery)?),
            None => Cow::Borrowed(delivery.id()),
        };
        let scope = self.scope.as_deref().unwrap_or(delivery.queue());
        (!own.is_empty()).then(|| format!("{scope}/{own}"))
    }
}

impl<H> Layer<H> for Deduplicate {
    type Service = DeduplicateHandler<H>;

    fn layer(&self, inner: H) -> DeduplicateHandler<H> {
        DeduplicateHandler { inner, settings: Arc::clone(&self.0) }
    }
}

/// A handler that gets duplicates only once, by [`Deduplicate`].
#[derive(Clone, Debug)]
pub struct DeduplicateHandler<H> {
    inner: H,
    settings: Arc<Settings>,
}

impl<H: Handler> Handler for DeduplicateHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let settings = &self.settings;
        let Some(key) = settings.key_of(&delivery) else { return self.inner.handle(delivery).await };
        let hold = Hold::new(&settings.store, key, settings.lease);
        match hold.claim().await {
            Ok(Claim::Granted) => {}
            Ok(Claim::Done) => {
                hold.let_go();
                info!(queue = delivery.queue(), id = delivery.id(), "a duplicate of what is done; acked");
                return Ok(Outcome::Ack);
            }
            Ok(Claim::InProgress(left)) => {
                hold.let_go();
                let after = left.max(SHORTEST_WAIT);
                debug!(queue = delivery.queue(), id = delivery.id(), ?after, "a duplicate of what is in progress");
                return Ok(Outcome::retry(after));
            }
            Err(error) => {
                warn!(queue = delivery.queue(), id = delivery.id(), %error, "not known whether it is a duplicate");
                if let OnStoreError::RetryAfter(after) = settings.on_store_error {
                    // Freed by a task of its own: there is nothing to wait for.
                    drop(hold);
                    return Ok(Outcome::retry(after));
                }
            }
        }
        let result = hold.renewed_while(self.inner.handle(delivery)).await;
        match result {
            Ok(Outcome::Ack) => hold.done(settings.keep).await,
            _ => hold.free().await,
        }
        result
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicate")
            .field("store", &self.store)
            .field("scope", &self.scope)
            .field("lease", &self.lease)
            .field("keep", &self.keep)
            .field("on_store_error", &self.on_store_error)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Deduplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
