//! A limit on how old a message may become.

use std::time::Duration;

use tower_layer::Layer;

use super::{Decide, Exceeded, Limit, LimitedHandler};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// Ends the way of a message that failed and is as old as this: it is rejected, unless [`decide`](Self::decide) says
/// otherwise.
///
/// Like [`MaxDeliveries`](super::MaxDeliveries) it looks after the handler has failed: an old message is handled, and a
/// success is a success. The age counts from the earliest time that is known ([`Delivery::age`]); a message of which nothing
/// is known has no age. PHP Swarrot's `XDeathMaxLifetimeProcessor` looks after a failure too, and at the time of `x-death`
/// alone.
///
/// [`Retry::max_age`](crate::layer::Retry::max_age) is the same limit for what that layer retries, and looks ahead: it makes no retry
/// that would come back too late. This one bounds whatever brings a message back.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::MaxAge;
///
/// let limit = MaxAge::new(Duration::from_secs(24 * 60 * 60));
/// ```
#[derive(Clone, Debug)]
pub struct MaxAge {
    max: Duration,
    decide: Decide,
}

impl MaxAge {
    /// At most this old, in whole seconds.
    pub fn new(max: Duration) -> Self {
        Self { max, decide: Decide::default() }
    }

    /// Decides what becomes of a message that failed and is over the limit; unless told, it is rejected with
    /// [`Exceeded::reason`].
    pub fn decide<F>(mut self, decide: F) -> Self
    where
        F: Fn(&Delivery, Exceeded) -> Result<Outcome, BoxError> + Send + Sync + 'static,
    {
        self.decide = Decide::new(decide);
        self
    }
}

impl<H> Layer<H> for MaxAge {
    type Service = LimitedHandler<H, Self>;

    fn layer(&self, inner: H) -> Self::Service {
        LimitedHandler { inner, limit: self.clone() }
    }
}

impl Limit for MaxAge {
    fn exceeded(&self, delivery: &Delivery) -> Option<String> {
        let age = delivery.age().filter(|age| *age >= self.max)?;
        Some(format!("{age:?} old, the limit is {:?}", self.max))
    }

    fn decide(&self, delivery: &Delivery, exceeded: Exceeded) -> Result<Outcome, BoxError> {
        (self.decide.0)(delivery, exceeded)
    }
}
