//! Brokers, publishers and workers from a file.

mod changes;
mod connections;
mod example;
mod mistakes;
mod own;
mod publishing;
mod same_as_code;
mod strange;
#[cfg(feature = "yaml")]
mod yaml;
