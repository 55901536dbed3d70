//! What wraps a handler.
//!
//! A layer is a [`tower_layer::Layer`]; what it makes is a [`Handler`](crate::Handler) around a handler. Which belongs where is
//! told by `docs/layers.md` in the repository.

mod before_after;
mod boxed;
mod catch_panic;
mod deduplicate;
mod instant_retry;
mod limit;
mod peak_memory;
mod retry;
mod timeout;

pub use self::before_after::{BeforeAfter, BeforeAfterHandler, BeforeFailed, NoAfter, NoBefore};
pub use self::boxed::{BoxHandler, BoxLayer, BoxStack};
pub use self::catch_panic::{CatchPanic, Panicked};
pub use self::deduplicate::{
    Claim, DedupStore, Deduplicate, DeduplicateHandler, MemoryDedupStore, OnStoreError, Owner,
};
pub use self::instant_retry::{InstantRetry, InstantRetryHandler};
pub use self::limit::{Exceeded, LimitedHandler, MaxAge, MaxDeliveries};
pub use self::peak_memory::{PeakMemory, PeakMemoryHandler};
pub use self::retry::{Retry, RetryHandler};
pub use self::timeout::{TimedOut, Timeout, TimeoutHandler};
