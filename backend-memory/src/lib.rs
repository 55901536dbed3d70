//! The backend of [swarrot](https://docs.rs/swarrot) that lives in the process: `memory://`.
//!
//! It is the reference model of what a broker does, and the test double for those who use swarrot: queues, exchanges,
//! priorities, delays, leases and dead letters behave as on a real broker, on tokio's clock, so that a day of back-off
//! runs at once under `tokio::time::pause`. Nothing survives the process.
//!
//! In reading order:
//! 1. [`MemoryBroker`], its [`Profile`] and [`Builder`]; what it makes are a provider and a publisher;
//! 2. for tests: [`Faults`], [`Ledger`], [`Published`];
//! 3. the model itself: one state behind one mutex, in the module `state`.
//!
//! ```
//! use std::{num::NonZeroUsize, time::Duration};
//! use swarrot_core::topology::{Queue, Topology};
//! use swarrot_core::{Broker, Message, MessagePublisherExt, Outcome, Outgoing, Settlement};
//! use swarrot_memory::MemoryBroker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! broker.declare(&Topology::new().queue(Queue::new("mails"))).await?;
//! let publisher = broker.publisher("", Default::default()).await?;
//! publisher.publish_one(Outgoing::new("mails", Message::new("hello"))).await?;
//!
//! let provider = broker.provider("mails", Default::default()).await?;
//! for delivery in provider.receive(NonZeroUsize::MIN, Duration::ZERO).await? {
//!     assert_eq!(delivery.body(), "hello");
//!     provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await?;
//! }
//! assert!(broker.ledger().is_balanced());
//! # Ok(())
//! # }
//! ```

mod broker;
mod config;
mod connection;
mod provider;
mod publisher;

mod faults;
mod testing;

mod convert;
mod error;
mod state;
mod topology;

pub use self::broker::MemoryBroker;
pub use self::config::{Builder, Profile};
pub use self::faults::{Faults, PublishFailure};
pub use self::testing::{Ledger, Published};
