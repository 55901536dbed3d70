//! What a provider made of a function has fetched: what waits to be handed out, and what is not settled.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::receipt::Receipt;

pub(super) struct Held {
    ready: VecDeque<Delivery>,
    unsettled: HashMap<Receipt, Delivery>,
    receipts: u64,
    pub(super) prefetch: NonZeroU16,
    /// The source has no more.
    pub(super) ended: bool,
    pub(super) stopped: bool,
    pub(super) closed: bool,
}

impl Held {
    pub(super) fn new(prefetch: NonZeroU16) -> Self {
        Self {
            ready: VecDeque::new(),
            unsettled: HashMap::new(),
            receipts: 0,
            prefetch,
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

    /// Whether the prefetch allows for one more.
    pub(super) fn has_room(&self) -> bool {
        self.ready.len() + self.unsettled.len() < usize::from(self.prefetch.get())
    }

    /// Hands out up to so many.
    pub(super) fn take(&mut self, max: usize) -> Vec<Delivery> {
        if self.stopped {
            return Vec::new();
        }
        let deliveries: Vec<_> = self.ready.drain(..max.min(self.ready.len())).collect();
        self.unsettled.extend(deliveries.iter().map(|delivery| (delivery.receipt(), delivery.clone())));
        deliveries
    }

    /// A delivery that is not settled.
    pub(super) fn get(&self, receipt: Receipt) -> Option<Delivery> {
        self.unsettled.get(&receipt).cloned()
    }

    /// Settles a delivery; false if it is not held any more.
    pub(super) fn settle(&mut self, receipt: Receipt, outcome: &Outcome) -> bool {
        let Some(delivery) = self.unsettled.remove(&receipt) else { return false };
        // Once it is stopped nothing comes again from here.
        if self.stopped {
            return true;
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
        true
    }

    fn again(&mut self, delivery: Delivery, count: u32) {
        let receipt = self.next_receipt();
        self.ready.push_front(delivery.with_receipt(receipt).delivered(true, Some(count)));
    }

    /// Hands out nothing more, and answers with what waited to be handed out.
    pub(super) fn stop(&mut self) -> Vec<Delivery> {
        self.stopped = true;
        self.ready.drain(..).collect()
    }

    /// Holds nothing any more, and answers with what it held.
    pub(super) fn close(&mut self) -> Vec<Delivery> {
        self.closed = true;
        let mut left = self.stop();
        left.extend(self.unsettled.drain().map(|(_, delivery)| delivery));
        left.sort_by_key(Delivery::receipt);
        left
    }
}
