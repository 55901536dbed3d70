//! A limit on the time that a handler may take.

use std::time::Duration;

use tower_layer::Layer;

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// Cancels a handler that takes too long, and makes an error of it: [`TimedOut`], which layers around it treat like any other
/// error of the handler.
///
/// The handler is dropped at its next await; one that blocks its thread is not interrupted. Within
/// [`InstantRetry`](super::InstantRetry) it is the limit of each call, around it that of all of them.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(Duration);

impl Timeout {
    /// At most this long for each delivery.
    pub const fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl<H> Layer<H> for Timeout {
    type Service = TimeoutHandler<H>;

    fn layer(&self, inner: H) -> TimeoutHandler<H> {
        TimeoutHandler { inner, limit: self.0 }
    }
}

/// A handler within a [`Timeout`].
#[derive(Clone, Debug)]
pub struct TimeoutHandler<H> {
    inner: H,
    limit: Duration,
}

impl<H: Handler> Handler for TimeoutHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let result = tokio::time::timeout(self.limit, self.inner.handle(delivery)).await;
        result.unwrap_or_else(|_| Err(TimedOut(self.limit).into()))
    }
}

/// A handler took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler took longer than {0:?}")]
pub struct TimedOut(Duration);
