//! The layers on the memory backend, in paused time.

#![cfg(feature = "memory")]

mod before_after;
mod history;
mod instant_retry;
mod limits;
mod retry;
#[path = "../worker/support.rs"]
#[expect(dead_code, reason = "the worker's tests use all of it")]
mod support;
