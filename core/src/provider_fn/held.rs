//! What a provider made of a function has fetched: what waits to be handed out, and what is not settled.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::error::Error;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::receipt::Receipt;

pub(super) struct Held {
    ready: VecDeque<Delivery>,
    unsettled: HashMap<Receipt, Unsettled>,
    receipts: u64,
    pub(super) prefetch: NonZeroU16,
    /// An error of the source, not yet told.
    pub(super) failed: Option<Error>,
    /// The source has no more.
    pub(super) ended: bool,
    pub(super) stopped: bool,
    pub(super) closed: bool,
}

/// A delivery that was handed out.
struct Unsettled {
    delivery: Delivery,
    /// The source is being told what became of it.
    settling: bool,
}

impl Held {
    pub(super) fn new(prefetch: NonZeroU16) -> Self {
        Self {
            ready: VecDeque::new(),
            unsettled: HashMap::new(),
            receipts: 0,
            prefetch,
            failed: None,
            ended: false,
            stopped: false,
            closed: false,
        }
    }

    /// A message came from the source.
    pub(super) fn arrived(&mut self, queue: &Arc<str>, mut message: Message) {
        message.ensure_id();
        let receipt = self.next_receipt();
        self.ready.push_back(Delivery::new(Arc::clone(queue), receipt, message).delivered(false, Some(1)));
    }

    fn next_receipt(&mut self) -> Receipt {
        self.receipts += 1;
        Receipt::new(0, self.receipts)
    }

    /// How many wait to be handed out.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether the source may be asked for one more.
    pub(super) fn has_room(&self) -> bool {
        let asks = !self.ended && !self.stopped && self.failed.is_none();
        asks && self.ready.len() + self.unsettled.len() < usize::from(self.prefetch.get())
    }

    /// Hands out up to so many.
    pub(super) fn take(&mut self, max: usize) -> Vec<Delivery> {
        if self.stopped {
            return Vec::new();
        }
        let deliveries: Vec<_> = self.ready.drain(..max.min(self.ready.len())).collect();
        let unsettled = |delivery: &Delivery| Unsettled { delivery: delivery.clone(), settling: false };
        self.unsettled.extend(deliveries.iter().map(|delivery| (delivery.receipt(), unsettled(delivery))));
        deliveries
    }

    /// Begins to settle a delivery; `None` if it is not held, or someone else is at it.
    pub(super) fn begin_settling(&mut self, receipt: Receipt) -> Option<Delivery> {
        let unsettled = self.unsettled.get_mut(&receipt).filter(|unsettled| !unsettled.settling)?;
        unsettled.settling = true;
        Some(unsettled.delivery.clone())
    }

    /// Leaves a delivery unsettled after all.
    pub(super) fn leave(&mut self, receipt: Receipt) {
        if let Some(unsettled) = self.unsettled.get_mut(&receipt) {
            unsettled.settling = false;
        }
    }

    /// Settles a delivery.
    pub(super) fn settle(&mut self, receipt: Receipt, outcome: &Outcome) {
        let Some(Unsettled { delivery, .. }) = self.unsettled.remove(&receipt) else { return };
        // Once it is stopped nothing comes again from here.
        if self.stopped {
            return;
        }
        let count = delivery.delivery_count().unwrap_or(1);
        match outcome {
            Outcome::Ack | Outcome::Reject { .. } => {}
            Outcome::Retry { reason, .. } => {
                let copy = delivery.retry_copy(reason.as_ref());
                let retried = Delivery::new(delivery.queue(), self.next_receipt(), copy);
                self.ready.push_back(retried.routed("", delivery.queue()).delivered(false, Some(1)));
            }
            Outcome::Requeue => self.again(delivery, count.saturating_add(1)),
            Outcome::Release => self.again(delivery, count),
        }
    }

    fn again(&mut self, delivery: Delivery, count: u32) {
        let receipt = self.next_receipt();
        self.ready.push_front(delivery.with_receipt(receipt).delivered(true, Some(count)));
    }

    /// The next of those that wait to be handed out, or with `unsettled` of those that were, which goes back to the source.
    /// It is held until it is [forgotten](Self::forget).
    pub(super) fn left(&self, unsettled: bool) -> Option<Delivery> {
        let waiting = self.ready.front().cloned();
        let handed_out = || {
            let held = self.unsettled.values().filter(|held| unsettled && !held.settling);
            held.map(|held| &held.delivery).min_by_key(|delivery| delivery.receipt()).cloned()
        };
        waiting.or_else(handed_out)
    }

    pub(super) fn forget(&mut self, receipt: Receipt) {
        self.ready.retain(|delivery| delivery.receipt() != receipt);
        self.unsettled.remove(&receipt);
    }
}
