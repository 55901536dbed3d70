//! The deliveries of one channel that are not settled yet.
//!
//! A channel numbers its deliveries from 1 without gaps, so they stand in a row, found by their number. Those not handed
//! out yet are the end of the row: that is the provider's buffer.

use std::collections::VecDeque;

use swarrot_core::Delivery;

/// One delivery.
#[derive(Debug)]
enum Slot {
    /// To be settled.
    Held(Delivery),
    /// To be acknowledged once its copy is confirmed.
    Copying(Delivery),
    /// To be acknowledged by the next frame.
    Acked,
    /// Settled: its frame is on the way.
    Done,
}

/// The deliveries of one channel, in their order.
#[derive(Debug)]
pub(super) struct Unsettled {
    /// The tag of the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    /// The first tag that was not handed out.
    next: u64,
    /// Handed out and not settled.
    outstanding: usize,
}

impl Default for Unsettled {
    fn default() -> Self {
        Self { base: 1, slots: VecDeque::new(), next: 1, outstanding: 0 }
    }
}

impl Unsettled {
    /// Takes in the next delivery; false if it is not the next by its tag.
    pub(super) fn push(&mut self, tag: u64, delivery: Delivery) -> bool {
        if tag != self.end() {
            return false;
        }
        self.slots.push_back(Slot::Held(delivery));
        true
    }

    /// Hands out the next delivery.
    pub(super) fn hand_out(&mut self) -> Option<Delivery> {
        let Some(Slot::Held(delivery)) = self.slots.get(self.index(self.next)?) else { return None };
        self.next += 1;
        self.outstanding += 1;
        Some(delivery.clone())
    }

    /// Deliveries that were not handed out.
    pub(super) fn buffered(&self) -> usize {
        usize::try_from(self.end() - self.next).unwrap_or(usize::MAX)
    }

    /// Deliveries that were handed out and are not settled.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether it was handed out and is not settled.
    pub(super) fn holds(&self, tag: u64) -> bool {
        let slot = self.index(tag).and_then(|index| self.slots.get(index));
        tag < self.next && matches!(slot, Some(Slot::Held(_) | Slot::Copying(_)))
    }

    /// Marks one as acknowledged, and lets go of its delivery; `None` if it is not held.
    pub(super) fn ack(&mut self, tag: u64) -> Option<Delivery> {
        let mut acked = None;
        self.replace_held(tag, |delivery| {
            acked = Some(delivery);
            Slot::Acked
        });
        self.outstanding -= usize::from(acked.is_some());
        acked
    }

    /// Marks one as settled by a frame of its own; false if it is not held.
    pub(super) fn settle(&mut self, tag: u64) -> bool {
        let held = self.replace_held(tag, |_| Slot::Done);
        self.outstanding -= usize::from(held);
        held
    }

    /// Keeps one while its copy is made; `None` if it is not held.
    pub(super) fn begin_copy(&mut self, tag: u64) -> Option<Delivery> {
        let mut copied = None;
        self.replace_held(tag, |delivery| {
            copied = Some(delivery.clone());
            Slot::Copying(delivery)
        });
        copied
    }

    /// Marks one as acknowledged if its copy was taken, or holds it again.
    pub(super) fn end_copy(&mut self, tag: u64, taken: bool) {
        let Some(slot) = self.index(tag).and_then(|index| self.slots.get_mut(index)) else { return };
        *slot = match std::mem::replace(slot, Slot::Done) {
            Slot::Copying(_) if taken => {
                self.outstanding -= 1;
                Slot::Acked
            }
            Slot::Copying(delivery) => Slot::Held(delivery),
            other => other,
        };
    }

    /// Lets go of what is settled at the front of the row. If some of it waits for its acknowledgement: the last such
    /// tag, and how many there are. One frame may acknowledge them all, for no lower tag is outstanding.
    pub(super) fn acked_run(&mut self) -> Option<(u64, usize)> {
        let mut run = None;
        let mut count = 0;
        while self.base < self.next {
            match self.slots.front() {
                Some(Slot::Acked) => {
                    count += 1;
                    run = Some((self.base, count));
                }
                Some(Slot::Done) => {}
                _ => break,
            }
            self.slots.pop_front();
            self.base += 1;
        }
        run
    }

    /// Whether this one waits for its acknowledgement, which the caller now sends.
    pub(super) fn acked_alone(&mut self, tag: u64) -> bool {
        match self.index(tag).and_then(|index| self.slots.get_mut(index)) {
            Some(slot @ Slot::Acked) => {
                *slot = Slot::Done;
                true
            }
            _ => false,
        }
    }

    /// Lets go of what was not handed out, to be given back by the caller.
    pub(super) fn take_buffered(&mut self) -> Vec<u64> {
        let tags: Vec<_> = (self.next..self.end()).collect();
        self.next = self.end();
        for tag in &tags {
            if let Some(slot) = self.index(*tag).and_then(|index| self.slots.get_mut(index)) {
                *slot = Slot::Done;
            }
        }
        tags
    }

    /// Lets go of all that is held, to be given back by the caller. What is being copied stays.
    pub(super) fn take_held(&mut self) -> Vec<u64> {
        self.next = self.end();
        self.outstanding = 0;
        let mut tags = Vec::new();
        for (tag, slot) in (self.base..).zip(&mut self.slots) {
            if matches!(slot, Slot::Held(_)) {
                *slot = Slot::Done;
                tags.push(tag);
            } else {
                self.outstanding += usize::from(matches!(slot, Slot::Copying(_)));
            }
        }
        tags
    }

    /// The tag that the next delivery will have.
    fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    fn index(&self, tag: u64) -> Option<usize> {
        usize::try_from(tag.checked_sub(self.base)?).ok()
    }

    fn replace_held(&mut self, tag: u64, replace: impl FnOnce(Delivery) -> Slot) -> bool {
        if tag >= self.next {
            return false;
        }
        match self.index(tag).and_then(|index| self.slots.get_mut(index)) {
            Some(slot @ Slot::Held(_)) => {
                if let Slot::Held(delivery) = std::mem::replace(slot, Slot::Done) {
                    *slot = replace(delivery);
                }
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use swarrot_core::{Message, Receipt};

    use super::*;

    fn filled(count: u64) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for tag in 1..=count {
            assert!(unsettled.push(tag, Delivery::new("q", Receipt::new(1, tag), Message::new(tag.to_string()))));
        }
        for _ in 0..count {
            unsettled.hand_out().expect("buffered");
        }
        unsettled
    }

    #[test]
    fn a_run_ends_before_what_is_outstanding() {
        let mut unsettled = filled(6);
        for tag in [1, 2, 4, 6] {
            assert!(unsettled.ack(tag).is_some());
        }
        assert_eq!(unsettled.acked_run(), Some((2, 2)));
        // 3 is outstanding: what is above it is acknowledged one by one.
        assert!(unsettled.acked_alone(4) && !unsettled.acked_alone(5) && unsettled.acked_alone(6));
        assert_eq!(unsettled.acked_run(), None);
        assert!(unsettled.ack(3).is_some());
        assert_eq!(unsettled.acked_run(), Some((3, 1)));
        assert!(unsettled.ack(5).is_some());
        assert_eq!(unsettled.acked_run(), Some((5, 1)));
        assert_eq!(unsettled.slots.len(), 0);
    }

    #[test]
    fn a_copy_under_way_is_outstanding() {
        let mut unsettled = filled(3);
        assert_eq!(unsettled.begin_copy(2).expect("held").body(), "2");
        assert!(unsettled.begin_copy(2).is_none() && unsettled.ack(2).is_none());
        assert!(unsettled.ack(1).is_some() && unsettled.ack(3).is_some());
        assert_eq!(unsettled.acked_run(), Some((1, 1)));
        unsettled.end_copy(2, false);
        assert!(unsettled.begin_copy(2).is_some(), "it is held again");
        assert_eq!(unsettled.outstanding(), 1);
        unsettled.end_copy(2, true);
        assert_eq!((unsettled.acked_run(), unsettled.outstanding()), (Some((3, 2)), 0));
    }

    #[test]
    fn nothing_is_settled_twice_or_before_it_was_handed_out() {
        let mut unsettled = filled(2);
        assert!(unsettled.push(3, Delivery::new("q", Receipt::new(1, 3), Message::new("3"))));
        assert!([3, 0, u64::MAX].into_iter().all(|tag| unsettled.ack(tag).is_none()) && !unsettled.settle(3));
        assert!(unsettled.settle(1) && !unsettled.settle(1) && unsettled.ack(1).is_none());
        assert_eq!(unsettled.acked_run(), None);
        assert!(!unsettled.settle(1), "gone from the row");
        assert_eq!(unsettled.take_buffered(), [3]);
        assert_eq!((unsettled.buffered(), unsettled.hand_out().is_none()), (0, true));
        assert_eq!((unsettled.take_held(), unsettled.outstanding()), (vec![2], 0));
    }

    #[test]
    fn a_gap_is_noticed() {
        let mut unsettled = filled(2);
        assert!(!unsettled.push(4, Delivery::new("q", Receipt::new(1, 4), Message::new(""))));
    }
}
