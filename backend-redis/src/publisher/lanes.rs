//! Numbers for batches, by which the server recognises one that is sent again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many batches of one publisher may be under way at once.
const LANES: usize = 64;

/// Numbers for batches. Each batch has a lane to itself while it is under way, and within the lane a number higher than any
/// before. The server keeps the last number of each lane with its verdicts: so it needs little memory, recognises the same
/// batch again, and refuses an earlier one that arrives late over a connection that was given up.
#[derive(Debug)]
pub(super) struct Lanes {
    free: Mutex<Vec<(usize, u64)>>,
    permits: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        let free = (0..LANES).rev().map(|lane| (lane, 1)).collect();
        Self { free: Mutex::new(free), permits: Semaphore::new(LANES) }
    }
}

impl Lanes {
    /// Waits for a free lane.
    pub(super) async fn enter(&self) -> Option<Lane<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        let (index, number) = self.lock().pop()?;
        Some(Lane { lanes: self, index, number, _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(usize, u64)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    pub(super) index: usize,
    pub(super) number: u64,
    _permit: SemaphorePermit<'a>,
}

impl Lane<'_> {
    /// Makes what is sent from now on a batch of its own.
    pub(super) fn next(&mut self) {
        self.number += 1;
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.lanes.lock().push((self.index, self.number + 1));
    }
}
