//! The worker on the memory backend, mostly in paused time.

#![cfg(all(feature = "memory", feature = "json"))]

mod handling;
mod priority;
mod stopping;
mod support;
