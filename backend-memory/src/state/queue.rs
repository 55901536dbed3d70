//! One queue with its messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use swarrot_core::message::names;
use swarrot_core::{Message, topology};
use tokio::time::Instant;

use super::entry::Entry;
use super::ready::Ready;
use super::waiters::Waiters;

/// One queue with its messages.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) dead_name: Arc<str>,
    pub(super) spec: topology::Queue,
    pub(super) ready: Ready,
    /// Held back, by when they are due and their number.
    pub(super) delayed: BTreeMap<(Instant, u64), Entry>,
    /// Delivered, by the delivery's tag.
    pub(super) unsettled: FxHashMap<u64, Unsettled>,
    /// When the leases of the unsettled ones end, with their tags.
    pub(super) leases: BTreeSet<(Instant, u64)>,
    /// To be parked as soon as the dead-letter queue exists and has room. They are kept, not lost.
    pub(super) unparked: VecDeque<Unparked>,
    pub(super) waiters: Waiters,
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) entry: Entry,
    pub(super) provider: u64,
    /// When its lease ends, where there are leases.
    pub(super) lease: Option<Instant>,
    /// Its acknowledgement was lost on the way: the provider has settled it, the broker does not know.
    pub(super) ack_lost: bool,
}

/// A message that the queue gave up on.
#[derive(Debug)]
pub(super) struct Unparked {
    pub(super) entry: Entry,
    pub(super) why: GivenUp,
}

/// Why a queue gives up on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    Expired,
    TooManyDeliveries,
}

impl Queue {
    pub(super) fn new(spec: topology::Queue) -> Self {
        Self {
            name: spec.name.as_str().into(),
            dead_name: names::dead_letter_queue(&spec.name).into(),
            spec,
            ready: Ready::default(),
            delayed: BTreeMap::new(),
            unsettled: FxHashMap::default(),
            leases: BTreeSet::new(),
            unparked: VecDeque::new(),
            waiters: Waiters::default(),
        }
    }

    /// How many wait, for a delay or for a dead-letter queue included.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.unparked.len()
    }

    pub(super) fn total(&self) -> usize {
        self.waiting() + self.unsettled.len()
    }

    /// Whether one more may come in. What is unsettled does not count, nor does what comes back.
    pub(super) fn has_room(&self) -> bool {
        self.spec.max_length.is_none_or(|max| (self.waiting() as u64) < max)
    }

    pub(super) fn priority(&self, message: &Message) -> u8 {
        self.spec.max_priority.map_or(0, |max| message.properties.priority.unwrap_or(0).min(max))
    }

    /// When a message that is ready at `ready` expires; a time that no clock reaches is never.
    pub(super) fn expiry(&self, message: &Message, ready: Instant) -> Option<Instant> {
        let ttl = match (message.properties.ttl, self.spec.message_ttl) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        ready.checked_add(ttl)
    }

    /// When something happens in this queue by itself: a delay, a time to live or a lease ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        let lease = self.leases.first().map(|(at, _)| *at);
        [delayed, lease, self.ready.next_expiry()].into_iter().flatten().min()
    }

    /// Takes a delivery out of the unsettled ones.
    pub(super) fn take_unsettled(&mut self, tag: u64) -> Option<Unsettled> {
        let unsettled = self.unsettled.remove(&tag)?;
        if let Some(at) = unsettled.lease {
            self.leases.remove(&(at, tag));
        }
        Some(unsettled)
    }

    /// Takes out the deliveries for which `which` answers true, in the order of the messages.
    pub(super) fn take_unsettled_where(&mut self, which: impl Fn(&Unsettled) -> bool) -> Vec<Unsettled> {
        let tags: Vec<u64> = self.unsettled.iter().filter(|(_, u)| which(u)).map(|(tag, _)| *tag).collect();
        let mut taken: Vec<Unsettled> = tags.into_iter().filter_map(|tag| self.take_unsettled(tag)).collect();
        taken.sort_unstable_by_key(|u| u.entry.sequence);
        taken
    }
}
