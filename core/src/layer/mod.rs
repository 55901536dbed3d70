//! What wraps a handler.
//!
//! A layer is a [`tower_layer::Layer`]; what it makes is a [`Handler`](crate::Handler) around a handler.

mod catch_panic;
mod deduplicate;
mod retry;
mod timeout;

pub use self::catch_panic::{CatchPanic, Panicked};
pub use self::deduplicate::{
    Claim, DedupStore, Deduplicate, DeduplicateHandler, MemoryDedupStore, OnStoreError, Owner,
};
pub use self::retry::{Retry, RetryHandler};
pub use self::timeout::{TimedOut, Timeout, TimeoutHandler};
