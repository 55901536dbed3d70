//! Where messages go.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use super::Capabilities;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;

/// Where messages go: one exchange of a broker.
///
/// # Cancel safety
/// A dropped `publish` has published each message of the batch, or not; later calls are not affected.
#[async_trait]
pub trait MessagePublisher: Debug + Send + Sync {
    /// The exchange's name; empty for the default exchange, whose routing keys are names of queues.
    fn exchange(&self) -> &str;

    /// What this publisher can do; the server's version decides.
    fn capabilities(&self) -> Capabilities;

    /// Publishes messages, and answers with one result for each, in order.
    ///
    /// `Ok` means that the broker has taken responsibility: at least one queue has the message, and has stored it where
    /// [`Capabilities::durable`] says so. A message without an id gets a UUID v7.
    ///
    /// Each result is an error of its own: [`Unroutable`](ErrorKind::Unroutable), [`Rejected`](ErrorKind::Rejected),
    /// [`TooLarge`](ErrorKind::TooLarge), [`Unknown`](ErrorKind::Unknown) (sent, no verdict: repeat it with the same id),
    /// [`Blocked`](ErrorKind::Blocked), [`Unsupported`](ErrorKind::Unsupported), [`NotFound`](ErrorKind::NotFound) (the
    /// exchange), [`Closed`](ErrorKind::Closed).
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>>;

    /// Waits until what was published is confirmed or has failed, then lets go of its connection. Idempotent.
    ///
    /// # Errors
    /// A temporary error if the broker does not answer.
    async fn close(&self) -> Result<()>;
}

/// A message on its way out, with where and when it should arrive.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The message.
    pub message: Message,
    /// By which the exchange routes it; on the default exchange the queue's name.
    pub routing_key: String,
    /// How long the broker holds it back; `None` and zero are at once.
    pub delay: Option<Duration>,
    /// Made by swarrot itself, so that it may carry reserved headers.
    trusted: bool,
}

impl Outgoing {
    /// This message, by this routing key, at once.
    pub fn new(routing_key: impl Into<String>, message: Message) -> Self {
        Self { message, routing_key: routing_key.into(), delay: None, trusted: false }
    }

    /// Holds the message back for this long.
    ///
    /// Where a backend makes delays of queues, the first publish of each delay by a publisher takes some three seconds until
    /// it is confirmed; the message is on time all the same. Where a publish has less time than that, it is
    /// [`Unknown`](ErrorKind::Unknown).
    ///
    /// On RabbitMQ a message that is delayed on its way to an exchange with a name is routed when the delay is over. So it
    /// is taken although no queue may ever get it, and then it waits until one is bound for its key: see the section on
    /// delays in `docs/reliability.md`.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// A parked message on its way back to the queue where it failed; publish it to the default exchange.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the delivery does not say which queue parked it.
    pub fn redrive(parked: &Delivery) -> Result<Self> {
        let (queue, message) = parked.redrive_copy()?;
        Ok(Self { trusted: true, ..Self::new(queue, message) })
    }

    /// A copy that a backend made of a delivery, so that it may carry reserved headers.
    pub fn copy(routing_key: impl Into<String>, copy: Message) -> Self {
        Self { trusted: true, ..Self::new(routing_key, copy) }
    }

    /// Whether the message may carry reserved headers.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }
}

/// What every publisher can do beside.
#[async_trait]
pub trait MessagePublisherExt: MessagePublisher {
    /// Publishes one message.
    ///
    /// # Errors
    /// As [`MessagePublisher::publish`] answers for it.
    ///
    /// # Cancel safety
    /// A dropped call has published the message, or not.
    async fn publish_one(&self, outgoing: Outgoing) -> Result<()> {
        let missing = || Error::new(ErrorKind::Broker, "the publisher gave no result").with_operation("publish");
        self.publish(&[outgoing]).await.pop().unwrap_or_else(|| Err(missing()))
    }
}

impl<P: MessagePublisher + ?Sized> MessagePublisherExt for P {}

const _: Option<&dyn MessagePublisher> = None;
