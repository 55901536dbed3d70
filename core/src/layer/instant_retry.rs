//! Trying again in place.

use std::time::Duration;

use tokio::time::sleep;
use tower_layer::Layer;
use tracing::warn;

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::marks::{Permanent, RetryAfter};
use crate::outcome::{Outcome, Reason};

/// Calls the handler again, in place, when it fails: for what is mended within seconds, such as a deadlock in a database. The
/// last error goes through.
///
/// The message stays where it is and keeps its slot of the worker meanwhile; nothing is published and no attempt is
/// counted, so that [`Retry`](super::Retry) around it sees one failure. An error that is [`Permanent`] or names its own delay
/// ([`RetryAfter`]) goes through at once.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::{InstantRetry, Retry};
///
/// // Three times within four seconds; then again half a minute later.
/// let retry = Retry::fixed(Duration::from_secs(30));
/// let at_once = InstantRetry::new(3, Duration::from_secs(2));
/// ```
///
/// # Cancel safety
/// If it is dropped, in a call or between two, the message is delivered again.
#[derive(Clone, Copy, Debug)]
pub struct InstantRetry {
    attempts: u32,
    delay: Duration,
}

impl InstantRetry {
    /// Calls the handler up to so many times in all, with this delay in between. Zero counts as one.
    pub const fn new(attempts: u32, delay: Duration) -> Self {
        Self { attempts, delay }
    }
}

impl<H> Layer<H> for InstantRetry {
    type Service = InstantRetryHandler<H>;

    fn layer(&self, inner: H) -> InstantRetryHandler<H> {
        InstantRetryHandler { inner, retry: *self }
    }
}

/// A handler that is called again in place by [`InstantRetry`].
#[derive(Clone, Debug)]
pub struct InstantRetryHandler<H> {
    inner: H,
    retry: InstantRetry,
}

impl<H: Handler> Handler for InstantRetryHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        for call in 1..self.retry.attempts {
            let result = self.inner.handle(delivery.clone()).await;
            let Err(error) = result else { return result };
            if Permanent::is(&*error) || RetryAfter::of(&*error).is_some() {
                return Err(error);
            }
            let (queue, id, reason) = (delivery.queue(), delivery.id(), Reason::from_error(&*error));
            warn!(queue, id, call, delay = ?self.retry.delay, %reason, "the handler failed; calling it again");
            // Dropped before the wait: an error may hold what the next call needs, such as a connection.
            drop(error);
            sleep(self.retry.delay).await;
        }
        self.inner.handle(delivery).await
    }
}
