//! The model: what a broker knows, and every change to it. Nothing here waits or locks; the caller holds the lock and
//! brings the time.
//!
//! Time passes only when somebody looks: each operation first makes happen what was due on its queue
//! ([`State::advance`]), so that nothing has to run in the background.

mod compare;
mod declare;
mod deliver;
mod due;
mod entry;
mod faults;
mod inspect;
mod member;
mod publish;
mod queue;
mod ready;
mod routing;
mod settle;
mod waiters;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use swarrot_core::Result;
use tokio::sync::Notify;

pub(crate) use self::deliver::Received;
pub(crate) use self::entry::Entry;
pub(crate) use self::faults::{FaultState, PublishFault};
use self::inspect::{Counts, Recording};
use self::member::Member;
use self::queue::Queue;
use self::routing::Exchange;
use crate::config::{Builder, Profile};
use crate::error;

/// Everything that one broker knows.
#[derive(Debug)]
pub(crate) struct State {
    profile: Profile,
    queues: FxHashMap<Arc<str>, Queue>,
    exchanges: FxHashMap<String, Exchange>,
    /// Providers that are not closed.
    members: FxHashMap<u64, Member>,
    /// Calls of `receive` that wait, on whichever queue.
    waiting: usize,
    /// The last number given to a message, place, delivery, handle, provider or waiter; each number is given once.
    last_id: u64,
    counts: Counts,
    recording: Recording,
    pub(crate) faults: FaultState,
    /// Wakes those who wait for a queue to become idle.
    idle: Arc<Notify>,
}

impl State {
    pub(crate) fn new(options: Builder, idle: Arc<Notify>) -> Self {
        Self {
            profile: options.profile,
            queues: FxHashMap::default(),
            exchanges: FxHashMap::default(),
            members: FxHashMap::default(),
            waiting: 0,
            last_id: 0,
            counts: Counts::default(),
            recording: Recording::last(options.record),
            faults: FaultState::default(),
            idle,
        }
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn queue(&self, name: &str) -> Result<&Queue> {
        self.queues.get(name).ok_or_else(|| error::queue_not_found(name))
    }
}
