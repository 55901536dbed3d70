//! Limits on how often and how long a message may fail.

mod age;
mod deliveries;

use std::fmt;
use std::sync::Arc;

use tracing::warn;

pub use self::age::MaxAge;
pub use self::deliveries::MaxDeliveries;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::{Outcome, Reason};

/// A message that failed, and is over a limit of [`MaxDeliveries`] or [`MaxAge`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Exceeded {
    /// Which limit, by how much, and why the handler failed this time.
    pub reason: Reason,
    /// What the handler came to: an error, or an outcome that would bring the message back.
    pub result: Result<Outcome, BoxError>,
}

/// A handler within a limit, [`MaxDeliveries`] or [`MaxAge`].
#[derive(Clone, Debug)]
pub struct LimitedHandler<H, L> {
    inner: H,
    limit: L,
}

/// A limit that is looked at when a handler has failed.
trait Limit: Send + Sync + 'static {
    /// By how much this message is over the limit, if it is.
    fn exceeded(&self, delivery: &Delivery) -> Option<String>;
    /// Decides what becomes of one that is.
    fn decide(&self, delivery: &Delivery, exceeded: Exceeded) -> Result<Outcome, BoxError>;
}

impl<H: Handler, L: Limit> Handler for LimitedHandler<H, L> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let result = self.inner.handle(delivery.clone()).await;
        let failed = matches!(result, Err(_) | Ok(Outcome::Retry { .. } | Outcome::Requeue));
        let Some(limit) = failed.then(|| self.limit.exceeded(&delivery)).flatten() else { return result };
        let reason = match &result {
            Err(error) => format!("{limit}: {}", Reason::from_error(&**error)),
            Ok(Outcome::Retry { reason: Some(reason), .. }) => format!("{limit}: {reason}"),
            Ok(_) => limit,
        };
        let reason = Reason::new(reason);
        warn!(queue = delivery.queue(), id = delivery.id(), %reason, "the message failed and is over a limit");
        self.limit.decide(&delivery, Exceeded { reason, result })
    }
}

/// Decides what becomes of a message over its limit.
#[derive(Clone)]
struct Decide(Arc<DecideFn>);

type DecideFn = dyn Fn(&Delivery, Exceeded) -> Result<Outcome, BoxError> + Send + Sync;

impl Decide {
    fn new(decide: impl Fn(&Delivery, Exceeded) -> Result<Outcome, BoxError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
}

impl Default for Decide {
    fn default() -> Self {
        Self::new(|_, exceeded| Ok(Outcome::Reject { reason: exceeded.reason }))
    }
}

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decide")
    }
}
