//! Acknowledgements that wait a moment for others, so that one frame takes many.
//!
//! A frame for each delivery costs the broker about as much as the delivery itself, and both sides a wake-up. So while
//! deliveries come quickly, acknowledgements are put off: until there are enough of them, or for a millisecond or two. What is
//! put off is lost if the process dies meanwhile, as it is on its way through a socket: the delivery comes again.

use std::time::Duration;

use tokio::time::Instant;

use super::unsettled::Unsettled;

/// How long an acknowledgement is put off, to within the clock's millisecond.
pub(super) const WAIT: Duration = Duration::from_millis(1);
/// How many are put off at most; a quarter of the prefetch if that is less, so that the broker has the rest to go on with.
const MOST: usize = 100;
/// Deliveries come quickly when no more than this is between them.
const QUICK: Duration = Duration::from_micros(500);

/// The acknowledgements that are put off, by tag.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    tags: Vec<u64>,
    arrived: Option<Instant>,
    quick: bool,
}

impl PutOff {
    /// Notes that deliveries came.
    pub(super) fn arrived(&mut self, now: Instant) {
        self.quick = self.arrived.is_some_and(|before| now.saturating_duration_since(before) <= QUICK);
        self.arrived = Some(now);
    }

    pub(super) fn add(&mut self, tag: u64) {
        self.tags.push(tag);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether those that were added may wait for others, with this prefetch.
    pub(super) fn may_wait(&self, prefetch: u16, now: Instant) -> bool {
        let most = MOST.min(usize::from(prefetch) / 4);
        let lately = self.arrived.is_some_and(|at| now.saturating_duration_since(at) <= WAIT);
        self.quick && lately && self.tags.len() < most
    }

    /// Takes all out: the frames that acknowledge them, each by its tag and whether it takes all before that too. Whatever is marked in
    /// the row has to be among them: the front of the row goes by one frame, the others go one by one.
    pub(super) fn frames(&mut self, unsettled: &mut Unsettled) -> Vec<(u64, bool)> {
        if self.tags.is_empty() {
            return Vec::new();
        }
        let tags = std::mem::take(&mut self.tags);
        let run = unsettled.acked_run();
        let mut frames: Vec<_> = run.into_iter().map(|(tag, count)| (tag, count > 1)).collect();
        if run.is_none_or(|(_, count)| count < tags.len()) {
            frames.extend(tags.into_iter().filter(|tag| unsettled.acked_alone(*tag)).map(|tag| (tag, false)));
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use swarrot_core::{Delivery, Message, Receipt};

    use super::*;

    /// The prefetch, when deliveries came, how many were added, and when it is asked.
    fn may_wait(prefetch: u16, arrivals: [u64; 2], added: u64, asked: u64) -> bool {
        let (start, us) = (Instant::now(), Duration::from_micros);
        let mut acks = PutOff::default();
        for at in arrivals {
            acks.arrived(start + us(at));
        }
        (1..=added).for_each(|tag| acks.add(tag));
        acks.may_wait(prefetch, start + us(asked))
    }

    #[test]
    fn only_while_deliveries_come_quickly() {
        assert!(may_wait(1000, [0, 500], 1, 600));
        assert!(!may_wait(1000, [0, 600], 1, 600), "they come slowly");
        assert!(!may_wait(1000, [0, 500], 1, 2000), "they came some time ago");
    }

    #[test]
    fn no_more_than_a_quarter_of_the_prefetch() {
        assert!(may_wait(1000, [0, 1], 99, 1) && !may_wait(1000, [0, 1], 100, 1));
        assert!(may_wait(8, [0, 1], 1, 1) && !may_wait(8, [0, 1], 2, 1));
        assert!(!may_wait(4, [0, 1], 1, 1) && !may_wait(1, [0, 1], 1, 1));
    }

    #[test]
    fn what_waits_and_the_original_of_a_copy_go_together() {
        let (mut acks, mut unsettled) = (PutOff::default(), Unsettled::default());
        for tag in 1..=7 {
            unsettled.push(tag, Delivery::new("q", Receipt::new(1, tag), Message::new("")));
            unsettled.hand_out().expect("buffered");
        }
        unsettled.begin_copy(5).expect("held");
        for tag in [1, 3, 2] {
            assert!(unsettled.ack(tag).is_some());
            acks.add(tag);
        }
        // 4 stays in hand.
        unsettled.end_copy(5, true);
        acks.add(5);
        assert_eq!(acks.frames(&mut unsettled), [(3, true), (5, false)]);
        assert!(acks.is_empty() && acks.frames(&mut unsettled).is_empty());
        for tag in [6, 4] {
            assert!(unsettled.ack(tag).is_some());
            acks.add(tag);
        }
        assert_eq!(acks.frames(&mut unsettled), [(6, true)]);
    }
}
