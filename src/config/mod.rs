//! Brokers, publishers and workers from a file, `swarrot.toml` (feature `config`).
//!
//! ```
//! # use swarrot::config::Config;
//! # async fn handle(body: String) {}
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), swarrot::BoxError> {
//! let config = Config::parse(r#"
//!     [brokers]
//!     main = "${BROKER_URL:-memory://}"
//!
//!     [topology.main.queues.mails]
//!
//!     [publishers.welcome]
//!     routing_key = "mails"
//!
//!     [workers.mails]
//!     queue = "mails"
//!     concurrency = 8
//!     stop_when_empty = true
//!     layers = [
//!         { layer = "retry", exponential = { first = "30s", max = "30m" }, attempts = 5, jitter = true },
//!         { layer = "timeout", limit = "1m" },
//!     ]
//! "#)?;
//! config.publish("welcome", swarrot::Message::new("Ada")).await?;
//! let report = config.worker("mails").await?.run(handle).await?;
//! assert_eq!(report.counts.acked, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Every key is in `docs/configuration.md`, and `examples/swarrot.toml` has all of them. A worker from a file behaves as one
//! that is built in code; its layers cost an allocation for each of them and message.
//!
//! In any text of the file, `${NAME}` is the value of an environment variable, `${NAME:-default}` has a default for one that
//! is not set or empty, and `$$` is a dollar. A value is a value, whatever it holds: it cannot add keys. Numbers, `true`
//! and `false` may be written as such a text too.
//!
//! A mistake is an error that says where it is and what to do; all mistakes are reported together.

mod broker;
mod changes;
#[expect(clippy::module_inception, reason = "the module is named for the feature, the file for the type")]
mod config;
mod error;
mod file;
mod gates;
mod layers;
mod loader;
mod publisher;
mod publisher_layers;
mod read;
mod reference;
mod registry;
mod worker;

pub use self::changes::{Changes, OptionValue};
pub use self::config::{Config, ConfiguredWorker};
pub use self::error::{ConfigError, Problem};
pub use self::gates::GateOptions;
pub use self::layers::{AnyLayer, LayerOptions};
pub use self::loader::Loader;
pub use self::publisher::{Publish, Publisher};
pub use self::publisher_layers::{AnyPublisherLayer, PublisherLayerOptions};
pub use self::read::{Field, FromValue, Key, Keys, Name, Named, Options, OrOff, Size, Table, Value, options};
pub use self::reference::{Section, reference, reference_markdown};
pub use self::registry::Refusal;
