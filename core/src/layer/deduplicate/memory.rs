//! What is done, remembered in this process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::store::{Claim, DedupStore, Owner};
use crate::clock::later;
use crate::error::Result;

/// Remembers in this process what is in progress and done: for tests, and for a program whose duplicates all come to one
/// process that seldom restarts.
///
/// It keeps a bounded number of keys, 100,000 unless told otherwise. When it is full, it forgets first what is done and would
/// be forgotten next anyway; claims are never forgotten before their time, and there are never more of them than messages in
/// flight.
pub struct MemoryDedupStore {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<Arc<str>, Entry>,
    /// Those that are done, by when they are forgotten. A number tells apart those of one moment.
    done: BTreeMap<(Instant, u64), Arc<str>>,
    /// Claims, by when they end.
    claimed: BTreeMap<(Instant, u64), Arc<str>>,
    last_number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    until: (Instant, u64),
    /// `None`: it is done.
    owner: Option<Owner>,
}

impl MemoryDedupStore {
    /// Remembers this many keys.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity: capacity.get(), state: Mutex::default() }
    }

    /// How many keys it remembers at the moment.
    pub fn len(&self) -> usize {
        self.with(|state, _| state.keys.len())
    }

    /// Whether it remembers nothing at the moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs this on what is not yet to be forgotten.
    fn with<T>(&self, run: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now);
        run(&mut state, now)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        for ended in [&mut self.done, &mut self.claimed] {
            while let Some(first) = ended.first_entry().filter(|first| first.key().0 <= now) {
                self.keys.remove(&first.remove());
            }
        }
    }

    /// Notes a key in place of what was known of it, and forgets others if there are as many as there may be.
    fn set(&mut self, key: &str, owner: Option<Owner>, end: Instant, capacity: usize) {
        self.remove(key);
        while self.keys.len() >= capacity
            && let Some((_, oldest)) = self.done.pop_first()
        {
            self.keys.remove(&oldest);
        }
        self.last_number += 1;
        let (key, until): (Arc<str>, _) = (key.into(), (end, self.last_number));
        let by_end = if owner.is_some() { &mut self.claimed } else { &mut self.done };
        by_end.insert(until, Arc::clone(&key));
        self.keys.insert(key, Entry { until, owner });
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.keys.remove(key) {
            let by_end = if entry.owner.is_some() { &mut self.claimed } else { &mut self.done };
            by_end.remove(&entry.until);
        }
    }
}

#[async_trait]
impl DedupStore for MemoryDedupStore {
    async fn claim(&self, key: &str, owner: Owner, lease: Duration) -> Result<Claim> {
        Ok(self.with(|state, now| match state.keys.get(key) {
            Some(Entry { owner: None, .. }) => Claim::Done,
            Some(Entry { owner: Some(other), until }) if *other != owner => Claim::InProgress(until.0 - now),
            _ => {
                state.set(key, Some(owner), later(now, lease), self.capacity);
                Claim::Granted
            }
        }))
    }

    async fn done(&self, key: &str, keep: Duration) -> Result<()> {
        self.with(|state, now| state.set(key, None, later(now, keep), self.capacity));
        Ok(())
    }

    async fn free(&self, key: &str, owner: Owner) -> Result<()> {
        self.with(|state, _| {
            if state.keys.get(key).is_some_and(|entry| entry.owner == Some(owner)) {
                state.remove(key);
            }
        });
        Ok(())
    }
}

impl Default for MemoryDedupStore {
    fn default() -> Self {
        Self::new(const { NonZeroUsize::new(100_000).expect("not zero") })
    }
}

impl fmt::Debug for MemoryDedupStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDedupStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_one_owners_until_it_ends() {
        let store = MemoryDedupStore::default();
        let (one, other) = (Owner::unique(), Owner::unique());
        assert_eq!(store.claim("k", one, 10 * SECOND).await.unwrap(), Claim::Granted);
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::InProgress(6 * SECOND));
        assert_eq!(store.claim("k", one, 10 * SECOND).await.unwrap(), Claim::Granted, "begun anew");
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::InProgress(10 * SECOND));
        store.free("k", other).await.unwrap();
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::InProgress(10 * SECOND));
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::Granted);
        store.free("k", other).await.unwrap();
        assert!(store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn done_stays_done_for_a_time_whoever_claimed_it() {
        let store = MemoryDedupStore::default();
        let (one, other) = (Owner::unique(), Owner::unique());
        store.claim("k", one, SECOND).await.unwrap();
        store.done("k", 10 * SECOND).await.unwrap();
        store.free("k", one).await.unwrap();
        tokio::time::advance(9 * SECOND).await;
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::Done);
        tokio::time::advance(SECOND).await;
        assert_eq!(store.claim("k", other, SECOND).await.unwrap(), Claim::Granted);
    }

    #[tokio::test(start_paused = true)]
    async fn it_forgets_what_is_done_longest_and_never_a_claim() {
        let store = MemoryDedupStore::new(NonZeroUsize::new(3).unwrap());
        let owner = Owner::unique();
        store.claim("a", owner, SECOND).await.unwrap();
        for key in ["b", "c", "d"] {
            store.done(key, 10 * SECOND).await.unwrap();
        }
        assert_eq!(store.len(), 3);
        assert_eq!(store.claim("b", owner, SECOND).await.unwrap(), Claim::Granted, "forgotten");
        assert_eq!(store.claim("d", owner, SECOND).await.unwrap(), Claim::Done);
        for key in ["e", "f", "g"] {
            assert_eq!(store.claim(key, owner, SECOND).await.unwrap(), Claim::Granted);
        }
        let other = Owner::unique();
        for key in ["a", "b", "e", "f", "g"] {
            assert_eq!(store.claim(key, other, SECOND).await.unwrap(), Claim::InProgress(SECOND));
        }
        assert_eq!(store.len(), 5, "claims beyond the limit");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_without_end_is_no_panic() {
        let store = MemoryDedupStore::default();
        store.claim("a", Owner::unique(), Duration::MAX).await.unwrap();
        store.done("b", Duration::MAX).await.unwrap();
        assert_eq!(store.len(), 2);
    }
}
