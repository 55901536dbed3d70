//! What swarrot costs, beside the raw clients.
//!
//! A *case* does one thing for a number of messages in a process of its own, which prints what that cost. A *comparison* runs
//! cases in turn, round after round, so that whatever else the machine does falls on all of them, and prints medians and ratios.
//! The *guard* counts instructions and allocations, which no neighbour disturbs, and fails beyond the limits in `limits.json`.
//!
//! `cargo xtask bench` builds and runs all this.
//!
//! What other libraries cost is measured by a program of its own, in `peers/`, which shares [`meter`] and [`figures`].

#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

pub mod figures;
pub mod meter;

mod cases;
mod cli;
#[cfg(feature = "brokers")]
mod compare;
mod guard;
#[cfg(feature = "brokers")]
mod plot;

pub use self::cli::main;
