//! A worker, seen and steered from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::health::Health;
use super::report::{Counts, StopReason};
use super::shared::{Shared, Stage};

/// A worker, seen and steered from outside. Cheap to clone; handlers may ask for one.
#[derive(Clone)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
}

impl WorkerHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Stops the worker in good order: nothing more is received, what runs may finish until the deadline.
    pub fn stop(&self) {
        self.shared.stop(StopReason::Handle);
    }

    /// Stops it for this reason.
    pub(crate) fn stop_for(&self, reason: StopReason) {
        self.shared.stop(reason);
    }

    /// What it has done so far, and for how long gates have held it back.
    pub(crate) fn sums(&self) -> (Counts, Duration) {
        (self.shared.counters.snapshot(), self.shared.held.total())
    }

    /// Cancels the handlers that still run and gives their messages back, as the deadline would.
    pub fn cancel(&self) {
        self.shared.stop(StopReason::Handle);
        self.shared.cancel();
    }

    /// Whether the worker was told to stop, or has ended. Not yet while the last of
    /// [`max_messages`](super::Worker::max_messages) are handled.
    pub fn is_stopping(&self) -> bool {
        self.shared.stage() >= Stage::Draining
    }

    /// Waits until the worker is told to stop, as [`is_stopping`](Self::is_stopping) says, so that a long handler can end early. Cancel safe.
    pub async fn stopping(&self) {
        self.shared.reached(Stage::Draining).await;
    }

    /// Waits until the worker takes nothing more in: it was told to stop, or has all the messages that it may handle.
    pub(crate) async fn takes_no_more(&self) {
        self.shared.reached(Stage::Finishing).await;
    }

    /// How many deliveries may be in flight at once.
    pub fn concurrency(&self) -> usize {
        *self.shared.concurrency.borrow()
    }

    /// Sets how many deliveries are in flight at once, from now on; what runs beyond a lower number may finish. Zero
    /// counts as one.
    pub fn set_concurrency(&self, deliveries: usize) {
        self.shared.concurrency.send_replace(deliveries.max(1));
    }

    /// How the worker is at this moment.
    pub fn health(&self) -> Health {
        Health::of(&self.shared)
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").field("queue", &self.shared.provider.queue()).finish_non_exhaustive()
    }
}
