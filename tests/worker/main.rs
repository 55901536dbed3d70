//! The worker on the memory backend, mostly in paused time.

#![cfg(all(feature = "memory", feature = "json"))]

mod chaos;
mod deduplicate;
mod handling;
mod kill_switch;
mod limits;
mod priority;
mod rate_limit;
mod stopping;
mod supervisor;
mod support;
mod suspects;
mod unruly;
