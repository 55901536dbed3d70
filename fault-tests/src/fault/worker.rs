//! Workers that die, and workers that are told to stop.

use std::time::Duration;

use anyhow::Result;

use super::Stage;

/// Longer than a worker waits for its handlers and for the broker.
const STOP: Duration = Duration::from_secs(60);

pub(super) async fn kill(stage: &mut Stage<'_>) -> Result<()> {
    let index = stage.rng.usize(0..stage.crew.workers.len());
    stage.crew.kill_worker(index).await
}

pub(super) async fn stop(stage: &mut Stage<'_>) -> Result<()> {
    let index = stage.rng.usize(0..stage.crew.workers.len());
    stage.crew.stop_worker(index, STOP).await
}
