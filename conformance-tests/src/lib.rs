//! The test suite that every [swarrot](https://docs.rs/swarrot) backend passes, ours or yours.
//!
//! To test your own backend, depend on this crate in `[dev-dependencies]`, tell it how to reach your broker by
//! implementing [`Harness`], and give it a test target without the standard harness:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```

mod faults;
mod harness;
mod macros;
mod run;

mod cases;
mod support;

pub mod mutants;

pub mod brokers;
pub mod proxy;

pub use self::faults::{Faults, FaultyBroker};
pub use self::harness::Harness;
pub use self::run::run;

pub use swarrot_core::async_trait;
