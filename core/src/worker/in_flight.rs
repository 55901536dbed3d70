//! What a loop has in flight, seen from outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::gates::Passed;
use crate::delivery::Delivery;

/// The deliveries whose handlers run, by slot. Locked for moments only: when one starts, ends or is looked at.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Vec<Option<Running>>>);

/// A delivery whose handler runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) delivery: Delivery,
    pub(super) since: Instant,
    pub(super) passed: Passed,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Running>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, slot: usize, running: Running) {
        let mut table = self.lock();
        if table.len() <= slot {
            table.resize_with(slot + 1, || None);
        }
        table[slot] = Some(running);
    }

    pub(super) fn remove(&self, slot: usize) -> Option<Running> {
        self.lock().get_mut(slot)?.take()
    }

    /// Looks at each, with its slot.
    pub(super) fn for_each(&self, mut look: impl FnMut(usize, &Running)) {
        for (slot, running) in self.lock().iter().enumerate() {
            if let Some(running) = running {
                look(slot, running);
            }
        }
    }
}
