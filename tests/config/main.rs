//! Brokers, publishers and workers from a file.

#![cfg(all(feature = "config", feature = "memory", feature = "json"))]

mod mistakes;
