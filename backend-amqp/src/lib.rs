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
//! - Header tables nested thousands deep overflow the stack of lapin's own thread, which ends the process. Quorum queues
//!   with a delivery limit, the default here, keep such a message from coming back for ever; processes that take
//!   messages from strangers should also set `RUST_MIN_STACK=67108864`.
//! - lapin logs each returned message, body included, as a warning. The filter `lapin=error` keeps bodies out of logs.

mod broker;
mod config;
mod connection;
mod provider;
mod publisher;
mod topology;

mod convert;
mod error;

pub use self::broker::AmqpBroker;
