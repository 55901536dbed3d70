//! Looking at queues, and counting what is in them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use swarrot_core::{Message, QueueStats, Result};
use tokio::time::Instant;

use super::State;
use crate::testing::{Ledger, Published};

/// What left the queues for good, and what came into them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) confirmed: u64,
    pub(super) duplicated: u64,
    pub(super) acked: u64,
    pub(super) dropped: u64,
    pub(super) expired: u64,
    pub(super) purged: u64,
}

/// The last messages that were published, at most `limit`.
#[derive(Debug)]
pub(super) struct Recording {
    limit: usize,
    last: VecDeque<Published>,
}

impl Recording {
    pub(super) fn last(limit: usize) -> Self {
        Self { limit, last: VecDeque::new() }
    }

    pub(super) fn add(&mut self, published: impl FnOnce() -> Published) {
        if self.limit == 0 {
            return;
        }
        if self.last.len() == self.limit {
            self.last.pop_front();
        }
        self.last.push_back(published());
    }
}

impl State {
    /// The names of all queues, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.queues.keys().map(|name| (**name).to_owned()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn stats(&mut self, name: &str, now: Instant) -> Result<QueueStats> {
        let dead = Arc::clone(&self.queue(name)?.dead_name);
        // This queue comes first.
        self.advance(&dead, now);
        let queue = self.queue(name)?;
        let mut stats = QueueStats::default();
        stats.ready = queue.ready.len() as u64;
        stats.unsettled = Some(queue.unsettled.len() as u64);
        stats.delayed = Some((queue.delayed.len() + queue.unparked.len()) as u64);
        stats.parked = self.queues.get(&dead).map(|dead| dead.total() as u64);
        stats.providers = Some(self.members.values().filter(|m| m.queue == queue.name && !m.stopped).count() as u64);
        Ok(stats)
    }

    pub(crate) fn peek(&mut self, name: &str, max: NonZeroUsize, now: Instant) -> Result<Vec<Message>> {
        self.advance(name, now);
        Ok(self.queue(name)?.ready.iter().take(max.get()).map(|entry| (*entry.message).clone()).collect())
    }

    pub(crate) fn purge(&mut self, name: &str, now: Instant) -> Result<u64> {
        self.queue(name)?;
        self.advance(name, now);
        let Some(queue) = self.queues.get_mut(name) else { return Ok(0) };
        let purged = queue.waiting() as u64;
        queue.ready = super::ready::Ready::default();
        queue.delayed.clear();
        queue.unparked.clear();
        self.counts.purged += purged;
        self.tell_if_idle(name);
        Ok(purged)
    }

    /// Whether nothing is in this queue.
    pub(crate) fn is_idle(&mut self, name: &str, now: Instant) -> Result<bool> {
        self.advance(name, now);
        Ok(self.queue(name)?.total() == 0)
    }

    pub(super) fn tell_if_idle(&self, name: &str) {
        if self.queues.get(name).is_some_and(|queue| queue.total() == 0) {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn published(&self) -> Vec<Published> {
        self.recording.last.iter().cloned().collect()
    }

    pub(crate) fn ledger(&mut self, now: Instant) -> Ledger {
        self.advance_all(now);
        let Counts { confirmed, duplicated, acked, dropped, expired, purged } = self.counts;
        let mut ledger = Ledger { confirmed, duplicated, acked, dropped, expired, purged, ..Ledger::default() };
        for queue in self.queues.values() {
            if queue.name.ends_with(".dead") {
                ledger.parked += queue.total() as u64;
            } else {
                ledger.ready += queue.ready.len() as u64;
                ledger.delayed += (queue.delayed.len() + queue.unparked.len()) as u64;
                ledger.unsettled += queue.unsettled.len() as u64;
            }
        }
        ledger
    }

    /// Says what is inconsistent within the model.
    pub(crate) fn check(&self) -> Result<(), String> {
        for queue in self.queues.values() {
            queue.ready.check().map_err(|what| format!("queue {:?}: {what}", queue.name))?;
            let mut leases: Vec<_> = queue.unsettled.iter().filter_map(|(tag, u)| Some((u.lease?, *tag))).collect();
            leases.sort_unstable();
            if !leases.iter().eq(queue.leases.iter()) {
                return Err(format!("queue {:?}: the index of leases is wrong", queue.name));
            }
        }
        for (id, member) in &self.members {
            let held = self
                .queues
                .get(&member.queue)
                .map_or(0, |queue| queue.unsettled.values().filter(|u| u.provider == *id && !u.ack_lost).count());
            if held != member.held {
                return Err(format!("provider {id} holds {held} deliveries, counted as {}", member.held));
            }
        }
        Ok(())
    }
}
