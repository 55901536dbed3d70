//! What the keepers of workers, the supervisor and its handles share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::report::{SupervisedReport, SupervisorReport};
use crate::worker::{Counts, StopReason, WorkerHandle};

/// How far a supervisor is on its way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Running,
    /// All workers were told to stop.
    Stopping,
    /// All handlers are cancelled.
    Cancelling,
    Ended,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    stage: watch::Sender<Stage>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Arc<Slot>>,
    stopped: Option<StopReason>,
    started: Option<Instant>,
    /// The last restarts after failures.
    restarts: VecDeque<Instant>,
}

/// One worker, run after run.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    life: Mutex<Life>,
}

/// What is known of a worker's runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) phase: Phase,
    pub(super) handle: Option<WorkerHandle>,
    pub(super) runs: u64,
    pub(super) failures: u64,
    /// Of the runs that have ended.
    pub(super) counts: Counts,
    pub(super) held: Duration,
    pub(super) stopped: Option<StopReason>,
    pub(super) last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Phase {
    /// It is being made.
    #[default]
    Starting,
    Running,
    /// It has failed, and is made anew at this time.
    Waiting(Instant),
    Ended,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(super) fn life(&self) -> MutexGuard<'_, Life> {
        lock(&self.life)
    }
}

impl Shared {
    /// Makes a slot for each name.
    pub(super) fn begin(&self, names: impl Iterator<Item = String>) {
        let mut state = lock(&self.state);
        state.started = Some(Instant::now());
        state.slots = names.map(|name| Arc::new(Slot { name, life: Mutex::default() })).collect();
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.state).slots.clone()
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(super) fn watch_stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Waits until it is at least this far. Cancel safe.
    pub(super) async fn reached(&self, stage: Stage) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    /// Begins to stop all workers; the first reason stays.
    pub(super) fn stop(&self, reason: StopReason) {
        lock(&self.state).stopped.get_or_insert(reason);
        self.advance(Stage::Stopping);
    }

    /// Begins to stop all workers since one fails too often.
    pub(super) fn give_up(&self) {
        self.advance(Stage::Stopping);
    }

    pub(super) fn cancel(&self) {
        self.advance(Stage::Cancelling);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = *now < to;
            *now = (*now).max(to);
            forward
        });
    }

    pub(super) fn stopped(&self) -> Option<StopReason> {
        lock(&self.state).stopped.clone()
    }

    /// Counts a restart; false if there are more than this within the time.
    pub(super) fn may_restart(&self, limit: Option<(u32, Duration)>) -> bool {
        let Some((most, within)) = limit else { return true };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.restarts.retain(|at| now.saturating_duration_since(*at) < within);
        if state.restarts.len() >= most {
            return false;
        }
        state.restarts.push_back(now);
        true
    }

    pub(super) fn report(&self) -> SupervisorReport {
        let state = lock(&self.state);
        SupervisorReport {
            stopped: state.stopped.clone(),
            elapsed: state.started.map_or(Duration::ZERO, |at| at.elapsed()),
            workers: state.slots.iter().map(|slot| SupervisedReport::new(&slot.name, slot.life().clone())).collect(),
        }
    }
}

/// Notes the end of a supervisor, also where its future is dropped.
pub(super) struct Ended(pub(super) Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.advance(Stage::Ended);
        for slot in self.0.slots() {
            slot.life().phase = Phase::Ended;
        }
    }
}
