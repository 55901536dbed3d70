//! Placeholder.

pub mod brokers;
pub mod proxy;
