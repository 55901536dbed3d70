//! The messages of a queue that may be delivered now.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use super::entry::Entry;

/// Ready messages: higher priorities first, then by place.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// By priority; each ordered by place. Messages join at the end and leave at the head, nearly always.
    lanes: Vec<VecDeque<Entry>>,
    len: usize,
    /// When which message expires, by priority and place.
    expiries: BTreeSet<(Instant, u8, u64)>,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, ..)| *at)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let lane = usize::from(entry.priority);
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, VecDeque::new);
        }
        if let Some(at) = entry.expires {
            self.expiries.insert((at, entry.priority, entry.position));
        }
        let lane = &mut self.lanes[lane];
        if lane.back().is_none_or(|last| last.position < entry.position) {
            lane.push_back(entry);
        } else {
            let place = lane.partition_point(|e| e.position < entry.position);
            lane.insert(place, entry);
        }
        self.len += 1;
    }

    /// Takes the next one to deliver.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.lanes.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.taken(&entry);
        Some(entry)
    }

    /// Takes one that expires at `now` or before, the earliest first.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        let (_, priority, position) = *self.expiries.first().filter(|(at, ..)| *at <= now)?;
        let lane = &mut self.lanes[usize::from(priority)];
        let place = lane.partition_point(|e| e.position < position);
        let entry = lane.remove(place)?;
        self.taken(&entry);
        Some(entry)
    }

    fn taken(&mut self, entry: &Entry) {
        self.len -= 1;
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, entry.priority, entry.position));
        }
    }

    /// In the order of delivery.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.lanes.iter().rev().flatten()
    }

    /// Says what is inconsistent, for tests.
    pub(super) fn check(&self) -> Result<(), String> {
        let sorted =
            |lane: &VecDeque<Entry>| lane.iter().zip(lane.iter().skip(1)).all(|(a, b)| a.position < b.position);
        let expiries: BTreeSet<_> =
            self.iter().filter_map(|e| e.expires.map(|at| (at, e.priority, e.position))).collect();
        if !self.lanes.iter().all(sorted) {
            Err("ready messages are out of order".to_owned())
        } else if self.iter().count() != self.len {
            Err(format!("{} ready messages, counted as {}", self.iter().count(), self.len))
        } else if expiries != self.expiries {
            Err("the index of expiries is wrong".to_owned())
        } else {
            Ok(())
        }
    }
}
