//! The worker on the memory backend, mostly in paused time.

#![cfg(all(feature = "memory", feature = "json"))]

mod handling;
mod stopping;
mod support;
