//! swarrot takes messages from any broker and gets work done: a web request answers at once and leaves the slow part to
//! workers, which survive failures, retry later and later, and stop cleanly before a deploy.
//!
//! ```
//! use std::time::Duration;
//! use swarrot::prelude::*;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Welcome {
//!     name: String,
//! }
//!
//! async fn greet(Json(welcome): Json<Welcome>) -> Result<(), BoxError> {
//!     println!("welcome, {}", welcome.name);
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let broker = swarrot::connect("memory://").await?; // or amqp://…, redis://…
//! broker.declare(&Topology::new().queue(Queue::new("welcome"))).await?;
//!
//! let publisher = broker.publisher("", PublisherOptions::default()).await?;
//! let message = Message::json(&Welcome { name: "Ada".to_owned() })?;
//! publisher.publish_one(Outgoing::new("welcome", message)).await?;
//!
//! let provider = broker.provider("welcome", ProviderOptions::default()).await?;
//! let report = Worker::new(provider)
//!     .concurrency(8)
//!     .layer(Retry::exponential(Duration::from_secs(30), Duration::from_secs(1800)).attempts(5).jitter())
//!     .stop_when_empty()
//!     .run(greet)
//!     .await?;
//! assert_eq!(report.counts.acked, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//! - [`connect`]: from a URL to a [`Broker`], which makes providers and publishers.
//! - [`Worker`]: receives, handles, settles; its limits and how it stops.
//! - [`Handler`] and [`FromDelivery`]: what handlers may ask for and return; [`debugging_handlers`]: what the compiler
//!   means when it refuses one.
//! - [`Router`]: a handler for each kind of message; [`Batch`]: many messages in one call.
//! - [`Requester`] and [`reply`]: questions and answers over queues.
//! - [`layer`]: what wraps a handler, such as [`layer::Retry`].
//! - [`publishing`]: what wraps a publisher, and publishers for tests.
//! - [`gate`]: what holds a worker back before it fetches, such as [`gate::RateLimit`].
//! - [`Supervisor`]: several workers, restarted when they fail, stopped together.
//! - [`topology`]: exchanges, queues, bindings.
//! - [`MessageProvider`] and [`MessagePublisher`]: the contract that every backend keeps.
//!
//! # Features
//! | feature | on by default | what for |
//! |---|---|---|
//! | `memory` | yes | the embedded backend, `memory://` |
//! | `amqp` | yes | RabbitMQ, `amqp://` and `amqps://` |
//! | `redis` | yes | Redis Streams: `redis://`, `rediss://`, `redis+cluster://`, `redis+sentinel://`, `redis+unix://` |
//! | `json` | yes | the argument [`Json`] and `Message::json` |
//! | `tower` | no | layers and services of tower's around handlers, and handlers as services |
//! | `opentelemetry` | no | [`layer::Trace`] sets the parents of OpenTelemetry's spans and hands its context on with published messages |
//! | `metrics` | no | the layer `Metrics`, and the worker's figures, through the facade `metrics` |
//! | `fingers-crossed` | no | `FingersCrossed`: debug logs that come out only if a delivery fails |
//! | `config` | no | `config`: brokers, publishers, workers and topology from a file, `swarrot.toml` |
//! | `yaml` | no | the same from a file in YAML |

#[cfg(feature = "config")]
pub mod config;
mod connect;
pub mod prelude;

pub use swarrot_core::*;

pub use self::connect::connect;
#[cfg(feature = "amqp")]
pub use swarrot_amqp as amqp;
#[cfg(feature = "memory")]
pub use swarrot_memory as memory;
#[cfg(feature = "redis")]
pub use swarrot_redis as redis;

#[doc = include_str!("../docs/debugging-handlers.md")]
pub mod debugging_handlers {}

/// The README's examples compile.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The examples of the page on observability compile.
#[cfg(all(doctest, feature = "fingers-crossed", feature = "metrics"))]
#[doc = include_str!("../docs/observability.md")]
pub struct Observability;
