//! A message in a queue.

use std::sync::Arc;

use swarrot_core::Message;
use tokio::time::Instant;

/// A message in a queue, with what the broker knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Which message of the broker it is.
    pub(crate) sequence: u64,
    /// Its place among the ready ones of equal priority: lower comes first.
    pub(super) position: u64,
    /// Its priority as the queue reads it; 0 in a queue without priorities.
    pub(super) priority: u8,
    pub(crate) message: Arc<Message>,
    pub(crate) exchange: Arc<str>,
    pub(crate) routing_key: Arc<str>,
    /// Deliveries that count.
    pub(crate) deliveries: u32,
    pub(crate) redelivered: bool,
    /// When it expires; known once it is ready for the first time.
    pub(super) expires: Option<Instant>,
}

/// A message on its way into a queue.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Arc<Message>,
    pub(super) exchange: Arc<str>,
    pub(super) routing_key: Arc<str>,
    /// When it is ready, if not at once.
    pub(super) due: Option<Instant>,
}

/// How a delivery comes back to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// To its old place; the delivery counts.
    Counted,
    /// Behind all others; the delivery counts.
    CountedToTail,
    /// To its old place; the delivery does not count.
    Uncounted,
}
