//! Where messages go.

mod deadlines;
mod delays;
mod entry;
mod identity;
mod task;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use swarrot_core::{Capabilities, Error, ErrorKind, MessagePublisher, Outgoing, PublisherOptions, Result};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use self::entry::{Batch, Entry, Room};
use self::task::{Job, Task, Wiring};
use crate::connection::{CLOSE_TIMEOUT, Link, closed};
use crate::convert::{short, to_properties};
use crate::topology::Remembered;
use crate::topology::delay::Bucket;

/// Messages that a publisher holds at most, those in flight included; callers wait beyond.
const MESSAGES: usize = 4096;
/// Bytes of their bodies. A larger body has it all to itself.
const BYTES: usize = 16 << 20;

/// A publisher to one exchange: a handle to the task that owns the channel.
#[derive(Debug)]
pub(crate) struct AmqpPublisher {
    exchange: String,
    options: PublisherOptions,
    capabilities: Capabilities,
    link: Arc<Link>,
    /// It grows no longer than there is room.
    jobs: mpsc::UnboundedSender<Job>,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    closed: AtomicBool,
}

impl AmqpPublisher {
    /// Starts the task; it connects when there is something to publish.
    pub(crate) fn start(
        (publish, receive): (Arc<Link>, Arc<Link>),
        remembered: Arc<Remembered>,
        exchange: &str,
        options: PublisherOptions,
        capabilities: Capabilities,
    ) -> Self {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let exchange = exchange.to_owned();
        let wiring = Wiring { publish: Arc::clone(&publish), receive, remembered, exchange: exchange.clone() };
        tokio::spawn(Task::new(Arc::new(wiring), receiver).run());
        Self {
            exchange,
            options,
            capabilities,
            link: publish,
            jobs,
            messages: Arc::new(Semaphore::new(MESSAGES)),
            bytes: Arc::new(Semaphore::new(BYTES)),
            closed: AtomicBool::new(false),
        }
    }

    /// Checks a message, and translates it.
    fn prepare(&self, outgoing: &Outgoing, deadline: Instant) -> Result<Box<Entry>> {
        let mut message = outgoing.message.clone();
        if !outgoing.is_trusted() {
            self.options.limits.check_outgoing(&message)?;
        }
        message.ensure_id();
        let bucket = Bucket::new(outgoing.delay, &self.exchange)?;
        if let Some(bucket) = &bucket {
            if message.properties.ttl.is_some() && !outgoing.is_trusted() {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "RabbitMQ cannot delay a message that has a time to live; leave one of them out",
                ));
            }
            // A time to live of its own would end the delay early: a retry that comes too late is better than one that is lost.
            // It gets that of the delay queue, for one that comes before the server has read the arguments of a new queue (seen
            // on 3.10, with three nodes) would never expire without, and hold up all behind it.
            message.properties.ttl = Some(bucket.delay());
        }
        let properties = to_properties(&message, self.link.frame_max())?;
        let routing_key = short(&outgoing.routing_key, "the routing key")?;
        Ok(Box::new(Entry::new(message, properties, routing_key, bucket, deadline)))
    }

    /// Waits for room in the queue.
    async fn room(&self, size: usize, deadline: Instant) -> Result<Room> {
        let size = u32::try_from(size.clamp(1, BYTES)).unwrap_or(u32::MAX);
        let room = match self.room_now(size) {
            Some(room) => Some(room),
            None => timeout_at(deadline, self.wait_for_room(size)).await.map_err(|_| {
                let (kind, message) = if *self.link.blocked().borrow() {
                    (ErrorKind::Blocked, "the server takes no messages; it is short of memory or disk")
                } else {
                    (ErrorKind::Timeout, "too many messages before it; it was not sent")
                };
                Error::new(kind, message)
            })?,
        };
        room.filter(|_| !self.closed.load(Ordering::SeqCst)).ok_or_else(closed)
    }

    /// There is none for one that comes while others wait.
    fn room_now(&self, size: u32) -> Option<Room> {
        let message = Arc::clone(&self.messages).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(size).ok()?;
        Some((message, bytes))
    }

    /// `None` if it was closed.
    async fn wait_for_room(&self, size: u32) -> Option<Room> {
        let message = Arc::clone(&self.messages).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(size).await.ok()?;
        Some((message, bytes))
    }
}

#[async_trait]
impl MessagePublisher for AmqpPublisher {
    fn exchange(&self) -> &str {
        &self.exchange
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let deadline = Instant::now() + self.options.timeout;
        let results = Batch::new(batch.len());
        for (index, outgoing) in batch.iter().enumerate() {
            let answer = results.answer(index);
            // In a box from here on: the future that waits is small.
            let mut entry = match self.prepare(outgoing, deadline) {
                Ok(entry) => entry,
                Err(error) => {
                    answer.give(Err(error.with_operation("publish")));
                    continue;
                }
            };
            entry.answer = answer;
            let sent = match self.room(entry.message.body.len(), deadline).await {
                Ok(room) => {
                    entry.room = Some(room);
                    self.jobs.send(Job::Publish(entry)).map_err(|mpsc::error::SendError(job)| (job, closed()))
                }
                Err(error) => Err((Job::Publish(entry), error)),
            };
            if let Err((Job::Publish(entry), error)) = sent {
                entry.answer.give(Err(error.with_operation("publish")));
            }
        }
        results.results().await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        // All room is free once all messages have their verdicts, at their deadlines at the latest.
        let all = u32::try_from(MESSAGES).unwrap_or(u32::MAX);
        let flushed = timeout(self.options.timeout + CLOSE_TIMEOUT, self.messages.acquire_many(all)).await;
        if let Ok(Ok(_)) = flushed {
            self.messages.close();
        }
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).is_err() {
            return Ok(());
        }
        answered.await.unwrap_or(Ok(()))
    }
}

/// How long a copy that replaces a delivery may take until it is confirmed.
pub(crate) const COPY_TIMEOUT: Duration = Duration::from_secs(30);
