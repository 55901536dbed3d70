//! RabbitMQ (AMQP 0-9-1) as a backend of swarrot, through [lapin](https://docs.rs/lapin).
//!
//! [`AmqpBroker::connect`] takes a URL such as `amqp://user:password@host1,host2:5673/vhost?name=mailer`; see there for
//! all of its parts. In reading order: [`AmqpBroker`]; the connections and how they are mended; providers; publishers;
//! topology and delays; the translation of messages, arguments and errors.
//!
//! # What to know
//! - A broker holds two connections, one to receive and settle, one to publish: RabbitMQ stops a connection that
//!   publishes while memory or disk run low, and that must not stop settlements. A broken connection is mended for as
//!   long as it takes.
//! - Publishes are persistent, mandatory and confirmed; `Ok` means that a queue has the message.
//! - Whatever a stranger has published is delivered. Names and properties that are not UTF-8 are read as Latin-1, and
//!   headers nested more than 64 deep are replaced by a note of their size: lapin itself breaks the connection over the
//!   first and overflows its stack over the second.
//! - lapin logs each returned message, body included, as a warning. The filter `lapin=error` keeps bodies out of logs.

mod broker;
mod config;
mod connection;
mod provider;
mod publisher;
mod topology;

mod convert;
mod error;

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;

pub use self::broker::AmqpBroker;
