//! The worker on the memory backend, mostly in paused time.

#![cfg(all(feature = "memory", feature = "json"))]

mod chaos;
mod handling;
mod limits;
mod priority;
mod stopping;
mod support;
mod suspects;
mod unruly;
