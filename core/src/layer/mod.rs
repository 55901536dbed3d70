//! What wraps a handler.
//!
//! A layer is a [`tower_layer::Layer`]; what it makes is a [`Handler`](crate::Handler) around a handler.

mod boxed;
mod catch_panic;
mod retry;
mod timeout;

pub use self::boxed::{BoxHandler, BoxLayer, BoxStack};
pub use self::catch_panic::{CatchPanic, Panicked};
pub use self::retry::{Retry, RetryHandler};
pub use self::timeout::{TimedOut, Timeout, TimeoutHandler};
