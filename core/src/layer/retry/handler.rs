//! The handler that [`Retry`] makes of another.

use tower_layer::Layer;
use tracing::{info, warn};

use super::{Retry, Verdict};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::marks::Permanent;
use crate::outcome::{Outcome, Reason};

impl<H> Layer<H> for Retry {
    type Service = RetryHandler<H>;

    fn layer(&self, inner: H) -> RetryHandler<H> {
        RetryHandler { inner, retry: self.clone() }
    }
}

/// A handler whose errors are retried by [`Retry`].
#[derive(Clone, Debug)]
pub struct RetryHandler<H> {
    inner: H,
    retry: Retry,
}

impl<H: Handler> Handler for RetryHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let result = self.inner.handle(delivery.clone()).await;
        let Err(error) = result else { return result };
        if Permanent::is(&*error) {
            return Err(error);
        }
        let (queue, id, attempt) = (delivery.queue(), delivery.id(), delivery.attempt());
        match self.retry.decide(attempt, || delivery.age(), &*error) {
            Verdict::Again(after) => {
                let reason = Reason::from_error(&*error);
                warn!(queue, id, attempt, ?after, %reason, "the handler failed; trying again later");
                Ok(Outcome::Retry { after, reason: Some(reason) })
            }
            Verdict::GiveUp(why) => {
                info!(queue, id, attempt, why, "not tried again");
                Err(error)
            }
        }
    }
}
