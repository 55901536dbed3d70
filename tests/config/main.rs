//! Brokers, publishers and workers from a file.

mod connections;
mod example;
mod mistakes;
mod publishing;
mod same_as_code;
mod strange;
