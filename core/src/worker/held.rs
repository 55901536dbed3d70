//! How long gates hold a worker back.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gate::Gate;

/// How long gates have held a worker back, and whether one does now: a worker is held back while one of its loops is.
#[derive(Default)]
pub(super) struct Held(Mutex<State>);

#[derive(Default)]
struct State {
    loops: usize,
    now: Option<(Instant, Arc<dyn Gate>)>,
    before: Duration,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A loop waits at this gate, until what is returned is dropped.
    pub(super) fn begin(&self, gate: &Arc<dyn Gate>) -> Waiting<'_> {
        let mut state = self.lock();
        state.loops += 1;
        state.now.get_or_insert_with(|| (Instant::now(), Arc::clone(gate))).1 = Arc::clone(gate);
        Waiting(self)
    }

    /// For how long a gate has held it back now, and what the gate says.
    pub(super) fn now(&self) -> Option<(Duration, String)> {
        let now = self.lock().now.clone();
        now.map(|(since, gate)| (since.elapsed(), gate.to_string()))
    }

    /// For how long gates have held it back in all.
    pub(super) fn total(&self) -> Duration {
        let state = self.lock();
        state.before + state.now.as_ref().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }
}

/// A loop that waits at a gate.
pub(super) struct Waiting<'a>(&'a Held);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.loops -= 1;
        if state.loops == 0
            && let Some((since, _)) = state.now.take()
        {
            state.before += since.elapsed();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.total()).finish()
    }
}
