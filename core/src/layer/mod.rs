//! What wraps a handler.
//!
//! A layer is a [`tower_layer::Layer`]; what it makes is a [`Handler`](crate::Handler) around a handler. [`Trace`] and
//! `Metrics` wrap publishers too.

mod catch_panic;
mod destination;
mod ending;
#[cfg(feature = "fingers-crossed")]
mod fingers_crossed;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod retry;
mod timeout;
mod trace;

pub use self::catch_panic::{CatchPanic, Panicked};
#[cfg(feature = "fingers-crossed")]
pub use self::fingers_crossed::{CrossedOutput, CrossedWriter, FingersCrossed, FingersCrossedLayer};
#[cfg(feature = "metrics")]
pub use self::metrics::{Metrics, MetricsHandler, MetricsPublisher};
pub use self::retry::{Retry, RetryHandler};
pub use self::timeout::{TimedOut, Timeout, TimeoutHandler};
pub use self::trace::{Trace, TraceHandler, TracePublisher};
