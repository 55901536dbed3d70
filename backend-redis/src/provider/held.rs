//! What a provider holds: deliveries that are not settled, those among them that wait to be handed out first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use swarrot_core::{Delivery, Receipt};
use tokio::time::Instant;

use crate::convert::{Entry, EntryId};

/// The deliveries of one provider that are not settled.
#[derive(Debug)]
pub(super) struct Held {
    /// Half of each receipt, so that another provider's receipts are not taken for ours.
    provider: u64,
    /// The other half: each delivery has a tag of its own, so that an earlier delivery of the same entry has another.
    last_tag: u64,
    rows: FxHashMap<u64, Row>,
    by_entry: FxHashMap<EntryId, u64>,
    /// Tags of those not handed out yet.
    buffer: VecDeque<u64>,
    /// How long the server leaves an entry to its provider.
    hold: Duration,
}

/// A delivery that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: EntryId,
    /// Deliveries of the entry as the server counts: with the provider's name it proves that it is this delivery.
    pub(super) count: u32,
    pub(super) delivery: Delivery,
    /// When the server may give it to another.
    until: Instant,
    /// When its lease is to be renewed, while it waits to be handed out.
    renew_at: Instant,
    /// A settlement was sent and never answered: it may have been settled.
    pub(super) unanswered: bool,
    /// Something else than its acknowledgement was begun, and may have been done.
    pub(super) touched: bool,
    /// The number of the queue's mark when it was read, or of an earlier one.
    pub(super) marked: u64,
}

impl Row {
    pub(super) fn new(id: EntryId, count: u32, delivery: Delivery, hold: Duration, at: Instant, marked: u64) -> Self {
        Self {
            id,
            count,
            delivery,
            until: at + hold,
            renew_at: at + hold / 4,
            unanswered: false,
            touched: false,
            marked,
        }
    }
}

impl Held {
    pub(super) fn new(hold: Duration) -> Self {
        Self {
            provider: fastrand::u64(..),
            last_tag: 0,
            rows: FxHashMap::default(),
            by_entry: FxHashMap::default(),
            buffer: VecDeque::new(),
            hold,
        }
    }

    /// Adds an entry that the server gave to this provider at `at` or later. An earlier delivery of it is void. `marked`: see
    /// [`Row::marked`].
    pub(super) fn add(&mut self, queue: &Arc<str>, entry: Entry, again: bool, at: Instant, marked: u64) {
        if let Some(earlier) = self.by_entry.get(&entry.id) {
            self.remove(*earlier);
        }
        self.last_tag += 1;
        let tag = self.last_tag;
        let (id, count) = (entry.id, entry.count);
        let delivery = entry.into_delivery(queue, Receipt::new(tag, self.provider), again);
        self.rows.insert(tag, Row::new(id, count, delivery, self.hold, at, marked));
        self.by_entry.insert(id, tag);
        self.buffer.push_back(tag);
    }

    /// Whether this entry is held.
    pub(super) fn has(&self, id: EntryId) -> bool {
        self.by_entry.contains_key(&id)
    }

    /// Hands out up to `max` that wait, in order.
    pub(super) fn hand_out(&mut self, max: usize, now: Instant) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(max.min(self.buffer.len()));
        while deliveries.len() < max
            && let Some(tag) = self.buffer.pop_front()
        {
            let Some(row) = self.rows.get(&tag) else { continue };
            if row.until > now {
                deliveries.push(row.delivery.clone());
            } else {
                // Another may have it by now; it comes again.
                self.remove(tag);
            }
        }
        deliveries
    }

    /// How many more may come in, with so many allowed. Those whose lease has ended without a renewal do not count: the
    /// server may have given them to others.
    pub(super) fn room(&mut self, allowed: usize, now: Instant) -> usize {
        if self.rows.len() < allowed {
            return allowed - self.rows.len();
        }
        let hold = self.hold;
        let forgotten: Vec<u64> =
            self.rows.iter().filter(|(_, row)| row.until + hold <= now).map(|(tag, _)| *tag).collect();
        for tag in forgotten {
            self.remove(tag);
        }
        allowed.saturating_sub(self.rows.values().filter(|row| row.until > now).count())
    }

    /// When the first lease ends, if none is renewed.
    pub(super) fn first_end(&self, now: Instant) -> Option<Instant> {
        self.rows.values().map(|row| row.until).filter(|until| *until > now).min()
    }

    /// The delivery with this receipt, and its tag.
    pub(super) fn find(&self, receipt: Receipt) -> Option<(u64, &Row)> {
        let own = Receipt::new(receipt.high(), self.provider) == receipt;
        self.rows.get(&receipt.high()).filter(|_| own).map(|row| (receipt.high(), row))
    }

    pub(super) fn get_mut(&mut self, tag: u64) -> Option<&mut Row> {
        self.rows.get_mut(&tag)
    }

    pub(super) fn remove(&mut self, tag: u64) -> Option<Row> {
        let row = self.rows.remove(&tag)?;
        self.by_entry.remove(&row.id);
        Some(row)
    }

    /// Notes that the server has renewed a lease at `at` or later.
    pub(super) fn renewed(&mut self, tag: u64, at: Instant) {
        if let Some(row) = self.rows.get_mut(&tag) {
            row.until = at + self.hold;
            row.renew_at = at + self.hold / 4;
        }
    }

    /// Those that wait to be handed out and whose lease is to be renewed now. Should that fail, they are told again a little
    /// later.
    pub(super) fn take_renewals(&mut self, now: Instant) -> Vec<(u64, Row)> {
        let mut due = Vec::new();
        for tag in &self.buffer {
            // What came soon after another is renewed with it.
            if let Some(row) = self.rows.get_mut(tag).filter(|row| row.renew_at <= now + self.hold / 16) {
                row.renew_at = now + self.hold / 8;
                due.push((*tag, row.clone()));
            }
        }
        due
    }

    /// When [`take_renewals`](Self::take_renewals) has something to say.
    pub(super) fn renewal_due(&self) -> Option<Instant> {
        self.buffer.iter().filter_map(|tag| Some(self.rows.get(tag)?.renew_at)).min()
    }

    /// Forgets all: the queue is gone, and its entries with it.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.by_entry.clear();
        self.buffer.clear();
    }

    /// Takes out those that wait to be handed out, or all.
    pub(super) fn drain(&mut self, all: bool) -> Vec<(u64, Row)> {
        let tags: Vec<u64> =
            if all { self.rows.keys().copied().collect() } else { self.buffer.iter().copied().collect() };
        self.buffer.clear();
        tags.into_iter().filter_map(|tag| Some((tag, self.remove(tag)?))).collect()
    }
}
