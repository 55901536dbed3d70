//! A connection that makes providers and publishers, and looks after queues.

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Capabilities, MessageProvider, MessagePublisher, ProviderOptions, PublisherOptions};
use crate::error::Result;
use crate::message::Message;
use crate::topology::{Comparison, QueueKind, Topology};

/// A connection that makes providers and publishers, and declares, inspects and purges queues.
///
/// # Cancel safety
/// A dropped call has taken effect or not; each may be repeated.
#[async_trait]
pub trait Broker: Debug + Send + Sync {
    /// What a provider of a queue of this kind can do, on this server.
    fn capabilities(&self, kind: QueueKind) -> Capabilities;

    /// Creates exchanges, queues with their dead-letter queues, and bindings, where they are missing. The broker
    /// remembers them and creates them again after a reconnect. With passive topology it only checks that they exist.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if one exists with other arguments, and which differ;
    /// [`NotFound`](crate::ErrorKind::NotFound), for a passive topology or a binding of what is not there;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for what this broker cannot do.
    async fn declare(&self, topology: &Topology) -> Result<()>;

    /// Compares each part of a topology with what there is, in the order in which they are declared, and changes nothing.
    ///
    /// Where a broker tells of arguments only when a queue is declared (AMQP), a queue that others delete at the same moment
    /// may be created.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) and [`Unsupported`](crate::ErrorKind::Unsupported) for what could not be
    /// declared at all; a temporary error if the broker cannot be reached.
    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>>;

    /// A provider of this queue.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the queue does not exist.
    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>>;

    /// A publisher to this exchange; the empty name is the default exchange, whose routing keys are names of queues.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the exchange does not exist.
    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>>;

    /// How many messages a queue has.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the queue does not exist.
    async fn stats(&self, queue: &str) -> Result<QueueStats>;

    /// The names of all queues, dead-letter queues included, in alphabetical order.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without [`Capabilities::list`].
    async fn queues(&self) -> Result<Vec<String>>;

    /// Looks at the next messages of a queue without taking them.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without [`Capabilities::browse`].
    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>>;

    /// What the server is and can do.
    ///
    /// # Errors
    /// A temporary error if it cannot be reached.
    async fn describe(&self) -> Result<ServerInfo>;

    /// Deletes the messages that wait in a queue, and says how many; unsettled ones stay.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the queue does not exist.
    async fn purge(&self, queue: &str) -> Result<u64>;

    /// Deletes a queue with its messages; its dead-letter queue stays. No error if it does not exist.
    ///
    /// # Errors
    /// A temporary error if the broker cannot be reached.
    async fn delete(&self, queue: &str) -> Result<()>;

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// A temporary error if there is none.
    async fn ping(&self) -> Result<()>;

    /// Closes all its providers and publishers, then the connection. Idempotent.
    ///
    /// # Errors
    /// A temporary error if the broker does not answer; the connection is gone all the same.
    async fn close(&self) -> Result<()>;
}

/// How many messages a queue has, in each state; `None` where the broker does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Waiting to be delivered.
    pub ready: u64,
    /// Delivered, not yet settled.
    pub unsettled: Option<u64>,
    /// Held back until a delay ends.
    pub delayed: Option<u64>,
    /// In the queue's dead-letter queue; `None` if it has none.
    pub parked: Option<u64>,
    /// Providers connected.
    pub providers: Option<u64>,
}

/// What a server is and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The product, such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// What it can do, by kind of queue.
    pub capabilities: Vec<(QueueKind, Capabilities)>,
    /// What an operator should know or mend.
    pub warnings: Vec<String>,
}

const _: Option<&dyn Broker> = None;
