//! The side that asks.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;
use uuid::Uuid;

use super::pending::Pending;
use super::receiving;
use super::{RequestError, RequesterOptions};
use crate::clock::later;
use crate::contract::{Broker, DeadLetter, MessagePublisher, MessagePublisherExt, Outgoing, PublisherOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, names};
use crate::topology::{Queue, Topology};

/// Who waits for longer sends a request that does not expire: brokers keep times up to some weeks.
const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sends requests and waits for their replies, over a queue of its own.
///
/// A request is a message with `reply_to` and `correlation_id`; whoever handles it publishes its reply to the default
/// exchange with `reply_to` as the routing key, and the same `correlation_id`. That is how other AMQP clients do it too;
/// here the handler's side is [`reply`](super::reply).
///
/// ```
/// use std::time::Duration;
/// # use swarrot_core::{BoxError, Broker, Message, Outgoing, Requester, RequesterOptions};
/// # use std::sync::Arc;
///
/// # async fn ask(broker: Arc<dyn Broker>) -> Result<(), BoxError> {
/// let options = RequesterOptions::default().timeout(Duration::from_secs(2));
/// let requester = Requester::new(broker, options).await?;
/// let reply = requester.request(Outgoing::new("thumbnails", Message::new("cat.png"))).await?;
/// println!("{} bytes", reply.body.len());
/// requester.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// Requests may run at the same time, on clones too. A reply that comes too late, twice or for nobody is dropped with a
/// line in the log at the level debug. Broken connections are mended while requests wait; a request that was published
/// and whose confirmation was lost still waits for its reply.
///
/// Like any message, a request is handled at least once: a handler that answers twice is heard once. Where messages can
/// expire ([`Capabilities::ttl`](crate::Capabilities::ttl)), a request without a time to live of its own expires when nobody
/// waits for it any more.
///
/// The last clone that is dropped takes the connection's resources with it, but not the reply queue; only
/// [`close`](Self::close) deletes it.
#[derive(Clone)]
pub struct Requester(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    publisher: Arc<dyn MessagePublisher>,
    timeout: Duration,
    turns: Semaphore,
    /// Hands out the replies. It does not hold this, so that it ends with it.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What the task that hands out replies needs too.
pub(super) struct Shared {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) queue: Queue,
    /// Whether the queue is the requester's own, and goes with it.
    own: bool,
    pub(super) pending: Pending,
    pub(super) closing: Notify,
}

impl Shared {
    /// The queue, to be declared.
    pub(super) fn topology(&self) -> Topology {
        Topology::new().queue(self.queue.clone())
    }
}

impl Requester {
    /// A requester on this broker; declares its queue for replies.
    ///
    /// # Errors
    /// As [`Broker::declare`], [`Broker::provider`] and [`Broker::publisher`].
    ///
    /// # Cancel safety
    /// A dropped call may leave the queue for replies behind, if it was not given one.
    pub async fn new(broker: Arc<dyn Broker>, options: RequesterOptions) -> Result<Self> {
        let RequesterOptions { timeout, exchange, reply_queue, max_pending, limits } = options;
        let own = reply_queue.is_none();
        // Replies are of use to this process alone: they need no copies on other nodes, and no dead letters.
        let made = || Queue::new(format!("swarrot.reply.{}", Uuid::now_v7())).classic().dead_letter(DeadLetter::Drop);
        let queue = reply_queue.unwrap_or_else(made);
        let shared = Shared { broker, queue, own, pending: Pending::default(), closing: Notify::new() };
        let publish = PublisherOptions::default().timeout(timeout).limits(limits);
        let publisher = shared.broker.publisher(&exchange, publish).await?;
        let provider = receiving::open(&shared).await?;
        let shared = Arc::new(shared);
        let task = tokio::spawn(receiving::run(Arc::clone(&shared), provider));
        let (turns, task) = (Semaphore::new(max_pending.get()), Mutex::new(Some(AbortOnDropHandle::new(task))));
        Ok(Self(Arc::new(Inner { shared, publisher, timeout, turns, task })))
    }

    /// The queue where replies are awaited.
    pub fn reply_queue(&self) -> &str {
        &self.0.shared.queue.name
    }

    /// How many requests wait for their replies at the moment.
    pub fn pending(&self) -> usize {
        self.0.shared.pending.len()
    }

    /// Publishes a request and waits for its reply. Its `reply_to` and `correlation_id` are set here.
    ///
    /// # Errors
    /// [`RequestError`]: not published, no reply in time, or a reply that says that the handler failed.
    ///
    /// # Cancel safety
    /// A dropped call has published the request, or not; its reply is dropped when it comes.
    pub async fn request(&self, request: Outgoing) -> Result<Message, RequestError> {
        self.request_within(self.0.timeout, request).await
    }

    /// The same with a time-out of its own.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub async fn request_within(&self, timeout: Duration, request: Outgoing) -> Result<Message, RequestError> {
        let deadline = later(Instant::now(), timeout);
        let answered = timeout_at(deadline, self.ask(deadline, request)).await;
        answered.unwrap_or(Err(RequestError::Timeout(timeout)))
    }

    async fn ask(&self, deadline: Instant, mut request: Outgoing) -> Result<Message, RequestError> {
        let Inner { shared, publisher, turns, .. } = &*self.0;
        let _turn = turns.acquire().await.map_err(|_| RequestError::Closed)?;
        let mut waiting = shared.pending.add().ok_or(RequestError::Closed)?;
        let properties = &mut request.message.properties;
        properties.correlation_id = Some(waiting.id().to_owned());
        properties.reply_to = Some(shared.queue.name.clone());
        if publisher.capabilities().ttl && properties.ttl.is_none() {
            // Nothing is milliseconds at the least, and zero would never be delivered.
            let left = deadline.saturating_duration_since(Instant::now());
            properties.ttl = Some(left.max(Duration::from_millis(1))).filter(|ttl| *ttl <= LONGEST_TTL);
        }
        match publisher.publish_one(request).await {
            Ok(()) => {}
            // It may have arrived, and then its reply comes.
            Err(error) if error.kind() == ErrorKind::Unknown => debug!(%error, "waiting for the reply all the same"),
            Err(error) if error.kind() == ErrorKind::Closed => return Err(RequestError::Closed),
            Err(error) => return Err(RequestError::Publish(error)),
        }
        let reply = waiting.reply().await.ok_or(RequestError::Closed)?;
        if reply.headers.contains(names::REPLY_ERROR) { Err(RequestError::Failed(Box::new(reply))) } else { Ok(reply) }
    }

    /// Publishes a value as JSON, and waits for a reply that is JSON too.
    ///
    /// # Errors
    /// As [`request`](Self::request), and [`RequestError::Decode`].
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    #[cfg(feature = "json")]
    pub async fn request_json<Q, R>(&self, routing_key: &str, value: &Q) -> Result<R, RequestError>
    where
        Q: serde::Serialize + Sync + ?Sized,
        R: serde::de::DeserializeOwned,
    {
        let message = Message::json(value).map_err(RequestError::Decode)?;
        let reply = self.request(Outgoing::new(routing_key, message)).await?;
        reply.parse_json().map_err(RequestError::Decode)
    }

    /// Ends the requests that wait with [`RequestError::Closed`], lets go of the provider and the publisher, and deletes
    /// the queue for replies, unless it was given one. Idempotent.
    ///
    /// # Errors
    /// A temporary error if the broker does not answer.
    ///
    /// # Cancel safety
    /// A dropped call may be repeated.
    pub async fn close(&self) -> Result<()> {
        let Inner { shared, publisher, turns, task, .. } = &*self.0;
        turns.close();
        shared.pending.close();
        shared.closing.notify_one();
        let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It ends in time: what it waits for is bounded, or given up when it is told to close.
            let ended = task.await;
            ended.map_err(|e| Error::new(ErrorKind::Broker, "the requester's task failed").with_source(e))?;
        }
        let closed = publisher.close().await;
        let deleted = if shared.own { shared.broker.delete(&shared.queue.name).await } else { Ok(()) };
        // A broker that was closed before has closed the publisher too, and keeps the queue.
        let fine = |error: &Error| error.kind() == ErrorKind::Closed;
        closed.and(deleted).or_else(|error| if fine(&error) { Ok(()) } else { Err(error) })
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("queue", &self.reply_queue()).finish_non_exhaustive()
    }
}
