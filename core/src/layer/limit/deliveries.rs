//! A limit on how often a message is delivered.

use tower_layer::Layer;

use super::{Decide, Exceeded, Limit, LimitedHandler};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// Ends the way of a message that failed and has been delivered so often: it is rejected, unless
/// [`decide`](Self::decide) says otherwise.
///
/// It looks after the handler has failed, that is, has returned an error, [`Outcome::Retry`] or [`Outcome::Requeue`]; a
/// success on the last delivery is a success. It counts all deliveries that are known
/// ([`Delivery::total_deliveries`]): the broker's count, retries, and returns from a waiting queue. So it also bounds what
/// [`Retry`](crate::layer::Retry) does not count: handlers that return outcomes of their own, and messages that PHP Swarrot's workers
/// send round by way of a waiting queue (there: `XDeathMaxCountProcessor`, which looks after a failure too).
///
/// Not to be confused with [`Worker::crash_limit`](crate::Worker::crash_limit), which looks at the broker's count alone, and
/// before the handler runs: it ends the loop of a message that kills its worker, which no layer outlives.
///
/// Put it outside of `Retry`, where it sees that a message is going to be retried.
///
/// ```
/// use swarrot_core::layer::MaxDeliveries;
/// use swarrot_core::{Outcome, WorkerHandle};
///
/// let limit = MaxDeliveries::new(10);
/// // Given up silently; `exceeded.result` would let it go on as if there were no limit.
/// let limit = MaxDeliveries::new(10).decide(|delivery, exceeded| {
///     eprintln!("{}: {}", delivery.id(), exceeded.reason);
///     Ok(Outcome::Ack)
/// });
/// ```
#[derive(Clone, Debug)]
pub struct MaxDeliveries {
    max: u32,
    decide: Decide,
}

impl MaxDeliveries {
    /// At most so many deliveries, the one in hand included.
    pub fn new(max: u32) -> Self {
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

impl<H> Layer<H> for MaxDeliveries {
    type Service = LimitedHandler<H, Self>;

    fn layer(&self, inner: H) -> Self::Service {
        LimitedHandler { inner, limit: self.clone() }
    }
}

impl Limit for MaxDeliveries {
    fn exceeded(&self, delivery: &Delivery) -> Option<String> {
        let count = delivery.total_deliveries();
        (count >= self.max).then(|| format!("delivered {count} times, the limit is {}", self.max))
    }

    fn decide(&self, delivery: &Delivery, exceeded: Exceeded) -> Result<Outcome, BoxError> {
        (self.decide.0)(delivery, exceeded)
    }
}
