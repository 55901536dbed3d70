//! What wraps a handler.
//!
//! A layer is a [`tower_layer::Layer`]; what it makes is a [`Handler`](crate::Handler) around a handler. [`Trace`] and
//! `Metrics` wrap publishers too. Which belongs where is told by `docs/layers.md` in the repository.

mod before_after;
mod boxed;
mod catch_panic;
mod deduplicate;
mod destination;
mod ending;
#[cfg(feature = "fingers-crossed")]
mod fingers_crossed;
mod instant_retry;
mod limit;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod peak_memory;
mod retry;
mod timeout;
mod trace;

pub use self::before_after::{BeforeAfter, BeforeAfterHandler, BeforeFailed, NoAfter, NoBefore};
pub use self::boxed::{BoxHandler, BoxLayer, BoxStack};
pub use self::catch_panic::{CatchPanic, Panicked};
pub use self::deduplicate::{
    Claim, DedupStore, Deduplicate, DeduplicateHandler, MemoryDedupStore, OnStoreError, Owner,
};
#[cfg(feature = "fingers-crossed")]
pub use self::fingers_crossed::{CrossedOutput, CrossedWriter, FingersCrossed, FingersCrossedLayer};
pub use self::instant_retry::{InstantRetry, InstantRetryHandler};
pub use self::limit::{Exceeded, LimitedHandler, MaxAge, MaxDeliveries};
#[cfg(feature = "metrics")]
pub use self::metrics::{Metrics, MetricsHandler, MetricsPublisher};
pub use self::peak_memory::{PeakMemory, PeakMemoryHandler};
pub use self::retry::{Retry, RetryHandler};
pub use self::timeout::{TimedOut, Timeout, TimeoutHandler};
pub use self::trace::{Trace, TraceHandler, TracePublisher};
