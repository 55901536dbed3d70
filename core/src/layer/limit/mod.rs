//! Limits on how often and how long a message may fail.

mod age;
mod deliveries;

use std::fmt;
use std::sync::Arc;

pub use self::age::{MaxAge, MaxAgeHandler};
pub use self::deliveries::{MaxDeliveries, MaxDeliveriesHandler};
use crate::delivery::Delivery;
use crate::error::BoxError;
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

/// Decides what becomes of a message over its limit.
#[derive(Clone)]
struct Decide(Arc<DecideFn>);

type DecideFn = dyn Fn(&Delivery, Exceeded) -> Result<Outcome, BoxError> + Send + Sync;

impl Decide {
    fn new(decide: impl Fn(&Delivery, Exceeded) -> Result<Outcome, BoxError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    fn exceeded(
        &self,
        delivery: &Delivery,
        limit: &str,
        result: Result<Outcome, BoxError>,
    ) -> Result<Outcome, BoxError> {
        let failed = match &result {
            Err(error) => Some(Reason::from_error(&**error)),
            Ok(Outcome::Retry { reason, .. }) => reason.clone(),
            Ok(_) => None,
        };
        let reason = match failed {
            Some(failed) => Reason::new(format!("{limit}: {failed}")),
            None => Reason::new(limit),
        };
        tracing::warn!(queue = delivery.queue(), id = delivery.id(), %reason, "the message failed and is over a limit");
        (self.0)(delivery, Exceeded { reason, result })
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

/// Whether the handler failed: by an error, or by an outcome that brings the message back.
fn failed(result: &Result<Outcome, BoxError>) -> bool {
    matches!(result, Err(_) | Ok(Outcome::Retry { .. } | Outcome::Requeue))
}
