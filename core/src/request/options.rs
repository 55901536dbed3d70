//! How a requester should behave.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::message::Limits;
use crate::topology::Queue;

/// How a [`Requester`](super::Requester) should behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequesterOptions {
    /// How long a request may wait for its reply, the time to publish it included: 10 s.
    pub timeout: Duration,
    /// The exchange to which requests are published: the default exchange, whose routing keys are names of queues.
    pub exchange: String,
    /// The queue for replies; `None` for one of the requester's own, which it deletes when it is closed.
    pub reply_queue: Option<Queue>,
    /// Requests that wait for their replies at once; further ones wait for their turn: 1,000.
    pub max_pending: NonZeroUsize,
    /// How large a request may be.
    pub limits: Limits,
}

impl Default for RequesterOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            exchange: String::new(),
            reply_queue: None,
            max_pending: const { NonZeroUsize::new(1000).expect("not zero") },
            limits: Limits::default(),
        }
    }
}

impl RequesterOptions {
    /// Sets how long a request may wait for its reply.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the exchange to which requests are published.
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = exchange.into();
        self
    }

    /// Sets the queue for replies, which stays when the requester is closed.
    ///
    /// It belongs to one requester alone: two would take each other's replies. A name that the process gets again when it
    /// starts anew, such as the host's, leaves no queue behind when it is killed. On RabbitMQ a queue that nobody uses
    /// goes by itself with `Queue::new(name).argument("x-expires", 600_000)`, in milliseconds.
    pub fn reply_queue(mut self, queue: Queue) -> Self {
        self.reply_queue = Some(queue);
        self
    }

    /// Sets how many requests may wait for their replies at once.
    pub fn max_pending(mut self, requests: NonZeroUsize) -> Self {
        self.max_pending = requests;
        self
    }

    /// Sets how large a request may be.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
