//! What happens by itself when time passes.

use std::sync::Arc;

use swarrot_core::{DeadLetter, Reason, Result};
use tokio::time::Instant;

use super::State;
use super::entry::{Entry, Incoming, Return};
use super::queue::{GivenUp, Unparked};
use crate::{convert, error};

/// What the name of a dead-letter queue ends with.
const DEAD: &str = ".dead";

impl State {
    /// Makes happen what was due on this queue until now: delays, leases and times to live end. The queue of which it is
    /// the dead-letter queue comes first.
    pub(super) fn advance(&mut self, name: &str, now: Instant) {
        if let Some(source) = name.strip_suffix(DEAD) {
            self.advance(source, now);
        }
        let Some(queue) = self.queues.get_mut(name) else { return };
        if queue.unparked.is_empty() && queue.next_due().is_none_or(|due| due > now) {
            return;
        }
        let name = Arc::clone(&queue.name);
        self.end_delays(&name, now);
        self.end_leases(&name, now);
        self.expire(&name, now);
        self.park_again(&name, now);
        self.wake(&name);
        self.tell_if_idle(&name);
    }

    /// Makes happen what was due on every queue.
    pub(super) fn advance_all(&mut self, now: Instant) {
        let names: Vec<Arc<str>> = self.queues.keys().cloned().collect();
        for name in &names {
            self.advance(name, now);
        }
    }

    /// When something happens by itself that concerns this queue.
    pub(crate) fn next_due(&self, name: &str) -> Option<Instant> {
        let sources = std::iter::successors(Some(name), |name| name.strip_suffix(DEAD));
        sources.map_while(|name| self.queues.get(name)).filter_map(super::Queue::next_due).min()
    }

    fn end_delays(&mut self, name: &str, now: Instant) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        while let Some(first) = queue.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let ((due, _), mut entry) = first.remove_entry();
            self.last_id += 1;
            entry.position = self.last_id;
            entry.expires = queue.expiry(&entry.message, due);
            queue.ready.insert(entry);
        }
    }

    fn end_leases(&mut self, name: &str, now: Instant) {
        while let Some(queue) = self.queues.get_mut(name)
            && let Some((at, tag)) = queue.leases.first().copied().filter(|(at, _)| *at <= now)
        {
            let Some(unsettled) = queue.take_unsettled(tag) else { return };
            if let Some(member) = self.members.get_mut(&unsettled.provider).filter(|_| !unsettled.ack_lost) {
                member.held -= 1;
            }
            self.give_back(name, unsettled.entry, Return::Counted, at);
        }
    }

    fn expire(&mut self, name: &str, now: Instant) {
        while let Some(entry) = self.queues.get_mut(name).and_then(|queue| queue.ready.pop_expired(now)) {
            let at = entry.expires.unwrap_or(now);
            self.give_up(name, entry, GivenUp::Expired, at);
        }
    }

    fn park_again(&mut self, name: &str, now: Instant) {
        let waiting = self.queues.get(name).map_or(0, |queue| queue.unparked.len());
        for _ in 0..waiting {
            let Some(next) = self.queues.get_mut(name).and_then(|queue| queue.unparked.pop_front()) else { return };
            self.give_up(name, next.entry, next.why, now);
        }
    }

    /// Takes a delivery back into its queue, or parks it when it was delivered too often.
    pub(super) fn give_back(&mut self, name: &str, mut entry: Entry, how: Return, now: Instant) {
        entry.redelivered = true;
        match how {
            Return::Counted => {}
            Return::CountedToTail => entry.position = self.next_id(),
            Return::Uncounted => entry.deliveries -= 1,
        }
        let Some(queue) = self.queues.get_mut(name) else { return };
        let over = how != Return::Uncounted && queue.spec.delivery_limit.is_some_and(|limit| entry.deliveries > limit);
        if over {
            self.give_up(name, entry, GivenUp::TooManyDeliveries, now);
        } else {
            queue.ready.insert(entry);
        }
    }

    /// Parks a message, or drops it where its queue says so. If it cannot be parked now it waits for that.
    fn give_up(&mut self, name: &str, entry: Entry, why: GivenUp, now: Instant) {
        let Some(queue) = self.queues.get(name) else { return };
        if queue.spec.dead_letter == DeadLetter::Drop {
            match why {
                GivenUp::Expired => self.counts.expired += 1,
                GivenUp::TooManyDeliveries => self.counts.dropped += 1,
            }
            return;
        }
        let reason = match why {
            GivenUp::Expired => Reason::new("expired"),
            GivenUp::TooManyDeliveries => Reason::new(format!(
                "delivered {} times without being settled, more often than the queue's delivery limit",
                entry.deliveries
            )),
        };
        if self.park(name, &entry, &reason, now).is_err()
            && let Some(queue) = self.queues.get_mut(name)
        {
            queue.unparked.push_back(Unparked { entry, why });
        }
    }

    /// Puts a copy into the dead-letter queue.
    pub(super) fn park(&mut self, name: &str, entry: &Entry, reason: &Reason, now: Instant) -> Result<()> {
        let queue = self.queue(name)?;
        let dead = self.queues.get(&queue.dead_name).ok_or_else(|| error::no_dead_letter_queue(&queue.dead_name))?;
        if !dead.has_room() {
            return Err(error::full(&dead.name, dead.spec.max_length.unwrap_or_default()));
        }
        let copy = convert::delivery(&queue.name, entry, 0).dead_letter_copy(reason);
        let dead = Arc::clone(&dead.name);
        let incoming =
            Incoming { message: Arc::new(copy), exchange: "".into(), routing_key: Arc::clone(&dead), due: None };
        self.enqueue(&dead, incoming, now);
        Ok(())
    }
}
