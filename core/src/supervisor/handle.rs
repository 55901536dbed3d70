//! A supervisor, seen and steered from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::{Phase, Shared, Stage};
use crate::worker::{Health, StopReason, WorkerHandle};

/// A supervisor, seen and steered from outside. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorHandle {
    shared: Arc<Shared>,
}

/// How a supervisor's workers are at a moment, for liveness and readiness probes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisorHealth {
    /// Whether it runs and was not told to stop.
    pub running: bool,
    /// Each worker, in the order in which they were added.
    pub workers: Vec<SupervisedHealth>,
}

/// How one worker of a supervisor is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisedHealth {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: SupervisedState,
    /// How often it has failed.
    pub failures: u64,
    /// Its last error, with the sources.
    pub last_error: Option<String>,
}

/// What a worker of a supervisor does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SupervisedState {
    /// It is being made.
    Starting,
    /// It runs, and is so.
    Running(Box<Health>),
    /// It has failed or reached a limit, and is made anew after this time.
    Waiting(Duration),
    /// It has ended for good.
    Ended,
}

impl SupervisorHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Stops all workers in good order.
    pub fn stop(&self) {
        self.shared.stop(StopReason::Handle);
    }

    /// Cancels the handlers that still run and gives their messages back, as the deadline would.
    pub fn cancel(&self) {
        self.stop();
        self.shared.cancel();
    }

    /// Whether it was told to stop, or has ended.
    pub fn is_stopping(&self) -> bool {
        self.shared.stage() >= Stage::Stopping
    }

    /// Waits until it is told to stop, or ends. Cancel safe.
    pub async fn stopping(&self) {
        self.shared.reached(Stage::Stopping).await;
    }

    /// The handle of the first worker of this name, if it runs; of this run only.
    pub fn worker(&self, name: &str) -> Option<WorkerHandle> {
        let slot = self.shared.slots().into_iter().find(|slot| slot.name == name)?;
        slot.life().handle.clone()
    }

    /// How the workers are at this moment.
    pub fn health(&self) -> SupervisorHealth {
        let workers = self.shared.slots().into_iter().map(|slot| {
            let life = slot.life().clone();
            let state = match (life.phase, life.handle) {
                (Phase::Running, Some(handle)) => SupervisedState::Running(Box::new(handle.health())),
                (Phase::Starting | Phase::Running, _) => SupervisedState::Starting,
                (Phase::Waiting(until), _) => SupervisedState::Waiting(until.saturating_duration_since(Instant::now())),
                (Phase::Ended, _) => SupervisedState::Ended,
            };
            let (name, last_error) = (slot.name.clone(), life.last_error);
            SupervisedHealth { name, state, failures: life.failures, last_error }
        });
        let workers: Vec<_> = workers.collect();
        SupervisorHealth { running: !workers.is_empty() && !self.is_stopping(), workers }
    }
}

impl SupervisorHealth {
    /// Whether it runs, and every worker that has not ended for good runs and is healthy.
    pub fn is_healthy(&self) -> bool {
        self.running
            && self.workers.iter().all(|worker| match &worker.state {
                SupervisedState::Running(health) => health.is_healthy(),
                SupervisedState::Ended => true,
                SupervisedState::Starting | SupervisedState::Waiting(_) => false,
            })
    }
}

impl fmt::Debug for SupervisorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorHandle").field("stage", &self.shared.stage()).finish_non_exhaustive()
    }
}
