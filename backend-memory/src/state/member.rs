//! A provider, as the broker knows it.

use std::num::NonZeroU16;
use std::sync::Arc;

use swarrot_core::{ConnectionState, DeadLetter, ProviderOptions, Result};
use tokio::time::Instant;

use super::State;
use super::entry::Return;
use crate::error;

/// A provider that is not closed.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) queue: Arc<str>,
    /// The connection that made it.
    handle: u64,
    pub(super) prefetch: usize,
    /// Deliveries that it holds.
    pub(super) held: usize,
    pub(super) dead_letter: DeadLetter,
    pub(super) stopped: bool,
    /// Its connection was cut, and no `receive` has told so yet.
    pub(super) cut: bool,
}

impl Member {
    /// How many more deliveries it may get.
    pub(super) fn room(&self) -> usize {
        if self.stopped { 0 } else { self.prefetch.saturating_sub(self.held) }
    }
}

impl State {
    /// Registers a provider and answers its number.
    pub(crate) fn join(&mut self, handle: u64, queue: &str, options: &ProviderOptions) -> Result<u64> {
        let queue = Arc::clone(&self.queue(queue)?.name);
        let id = self.next_id();
        let member = Member {
            queue,
            handle,
            prefetch: options.prefetch.get().into(),
            held: 0,
            dead_letter: options.dead_letter,
            stopped: false,
            cut: false,
        };
        self.members.insert(id, member);
        Ok(id)
    }

    pub(crate) fn connection(&self, provider: u64) -> ConnectionState {
        match self.members.get(&provider) {
            Some(member) if !self.queues.contains_key(&member.queue) => ConnectionState::Closed,
            Some(member) if member.cut => ConnectionState::Connecting,
            Some(_) => ConnectionState::Connected,
            None => ConnectionState::Closed,
        }
    }

    pub(crate) fn set_prefetch(&mut self, provider: u64, prefetch: NonZeroU16) -> Result<()> {
        let member = self.members.get_mut(&provider).ok_or_else(|| error::closed("provider"))?;
        member.prefetch = prefetch.get().into();
        let queue = Arc::clone(&member.queue);
        self.wake(&queue);
        Ok(())
    }

    /// Hands nothing out to this provider any more. Does nothing for a closed one.
    pub(crate) fn stop(&mut self, provider: u64) {
        let Some(member) = self.members.get_mut(&provider) else { return };
        member.stopped = true;
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.waiters.notify_provider(provider);
        }
    }

    /// Forgets this provider and gives back what it held. Does nothing for a closed one.
    pub(crate) fn leave(&mut self, provider: u64, now: Instant) {
        let Some(member) = self.members.remove(&provider) else { return };
        let Some(queue) = self.queues.get_mut(&member.queue) else { return };
        queue.waiters.notify_provider(provider);
        for unsettled in queue.take_unsettled_where(|u| u.provider == provider) {
            let how = if unsettled.ack_lost { Return::Counted } else { Return::Uncounted };
            self.give_back(&member.queue, unsettled.entry, how, now);
        }
        self.wake(&member.queue);
        // What is over its limit has left the queue.
        self.tell_if_idle(&member.queue);
    }

    /// Closes all providers that this connection made.
    pub(crate) fn leave_all(&mut self, handle: u64, now: Instant) {
        let providers: Vec<u64> = self.members.iter().filter(|(_, m)| m.handle == handle).map(|(id, _)| *id).collect();
        for provider in providers {
            self.leave(provider, now);
        }
    }

    /// Cuts all connections: what is unsettled goes back, counted, and each provider's next `receive` fails once.
    pub(crate) fn cut(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.held = 0;
            member.cut = !member.stopped;
        }
        let names: Vec<Arc<str>> = self.queues.keys().cloned().collect();
        for name in names {
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            queue.waiters.notify_all();
            for unsettled in queue.take_unsettled_where(|_| true) {
                self.give_back(&name, unsettled.entry, Return::Counted, now);
            }
            self.wake(&name);
            self.tell_if_idle(&name);
        }
    }
}
