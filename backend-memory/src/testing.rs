//! What tests may ask a broker.

use swarrot_core::message::names;
use swarrot_core::{Message, Result};
use tokio::time::{Instant, sleep_until};

use crate::broker::MemoryBroker;

/// Where all messages of a broker are: what came in is somewhere, or it went by a known way.
///
/// A message that an exchange routes to two queues counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Came in by a publish, whether or not its publisher was told.
    pub confirmed: u64,
    /// Came in by [`Faults::duplicate_deliveries`](crate::Faults::duplicate_deliveries).
    pub duplicated: u64,
    /// Wait to be delivered.
    pub ready: u64,
    /// Are held back: until a delay ends, or until their dead-letter queue exists and has room.
    pub delayed: u64,
    /// Were delivered and are not settled.
    pub unsettled: u64,
    /// Are in a dead-letter queue, in whatever state.
    pub parked: u64,
    /// Went by an acknowledgement.
    pub acked: u64,
    /// Went by a rejection, or a delivery limit, where dead letters are dropped.
    pub dropped: u64,
    /// Went by their time to live where dead letters are dropped.
    pub expired: u64,
    /// Went by a purge, or with a deleted queue.
    pub purged: u64,
}

impl Ledger {
    /// Whether no message was lost, and none made from nothing.
    pub fn is_balanced(&self) -> bool {
        let came = self.confirmed + self.duplicated;
        let are = self.ready + self.delayed + self.unsettled + self.parked;
        came == are + self.acked + self.dropped + self.expired + self.purged
    }
}

/// A message that was published.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Published {
    /// To this exchange; empty for the default exchange.
    pub exchange: String,
    /// With this key.
    pub routing_key: String,
    /// The message, with the id that it got.
    pub message: Message,
    /// Held back for so long.
    pub delay: Option<std::time::Duration>,
}

/// For tests.
impl MemoryBroker {
    /// Where all messages are.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger(Instant::now())
    }

    /// Checks that the model is sound: the ledger is balanced, and each of its indexes fits its queue.
    ///
    /// # Errors
    /// What is wrong: a fault of this crate.
    pub fn check(&self) -> Result<(), String> {
        let mut state = self.shared.lock();
        let ledger = state.ledger(Instant::now());
        if ledger.is_balanced() { state.check() } else { Err(format!("messages were lost or made up: {ledger:?}")) }
    }

    /// The last messages that were published, oldest first; see
    /// [`Builder::record_published`](crate::Builder::record_published). Copies of retried and parked ones are not among them.
    pub fn published(&self) -> Vec<Published> {
        self.shared.lock().published()
    }

    /// Puts a message into a queue as it is, whatever its headers are called, and without an id unless it has one: what a
    /// foreign producer's message looks like.
    ///
    /// # Errors
    /// [`NotFound`](swarrot_core::ErrorKind::NotFound) if the queue does not exist, and
    /// [`Rejected`](swarrot_core::ErrorKind::Rejected) if it is full.
    pub fn inject(&self, queue: &str, message: Message) -> Result<()> {
        let published = self.shared.lock().inject(queue, message, Instant::now());
        published.map_err(|e| e.with_operation("inject").with_target(queue))
    }

    /// What waits in the dead-letter queue of this queue, in order.
    ///
    /// # Errors
    /// [`NotFound`](swarrot_core::ErrorKind::NotFound) if it has none.
    pub fn parked(&self, queue: &str) -> Result<Vec<Message>> {
        let all = std::num::NonZeroUsize::MAX;
        let mut state = self.shared.lock();
        state.peek(&names::dead_letter_queue(queue), all, Instant::now()).map_err(|e| e.with_operation("parked"))
    }

    /// Waits until nothing is in this queue: nothing ready, delayed or unsettled. Cancel safe.
    ///
    /// # Errors
    /// [`NotFound`](swarrot_core::ErrorKind::NotFound) if the queue does not exist, or is deleted meanwhile.
    pub async fn wait_until_idle(&self, queue: &str) -> Result<()> {
        loop {
            // Made before the look, so that no change falls between the look and the wait.
            let changed = self.shared.idle.notified();
            let due = {
                let mut state = self.shared.lock();
                if state.is_idle(queue, Instant::now()).map_err(|e| e.with_operation("wait until idle"))? {
                    return Ok(());
                }
                state.next_due(queue)
            };
            match due {
                Some(due) => tokio::select! { () = changed => {}, () = sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }
}
