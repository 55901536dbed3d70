//! The life of one worker: made, run, and made again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use super::shared::{Phase, Shared, Slot, Stage};
use super::{Maker, Settings};
use crate::backoff::Backoff;
use crate::clock::later;
use crate::error::BoxError;
use crate::layer::Panicked;
use crate::outcome::Reason;
use crate::worker::{ReadyWorker, Report, StopReason};

/// A worker that reaches a limit sooner than this is not restarted at once: it would do nothing but start.
const SHORT_RUN: Duration = Duration::from_secs(1);

/// How a run ended.
enum End {
    /// As it should.
    Well(StopReason),
    Failed(BoxError),
    /// It was not even made, since all were told to stop.
    NotMade,
}

/// Runs a worker until it ends for good. Answers with its name and error if the supervisor has to give up for it.
pub(super) async fn keep(
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    maker: Maker,
    settings: Settings,
) -> Option<(String, BoxError)> {
    let mut backoff = Backoff::new(settings.first_pause, settings.max_pause);
    let given_up = loop {
        let began = Instant::now();
        let end = run_once(&shared, &slot, &maker).await;
        let lasted = began.elapsed();
        if lasted >= settings.healthy_after {
            backoff.reset();
        }
        let stopping = shared.stage() >= Stage::Stopping;
        let pause = match end {
            End::NotMade => break None,
            End::Well(reason) => {
                let is_limit = matches!(reason, StopReason::MaxMessages | StopReason::MaxTime);
                let again = settings.restart_on_limit && is_limit && !stopping;
                info!(worker = slot.name, %reason, again, "a worker ended");
                slot.life().stopped = Some(reason);
                if !again {
                    break None;
                }
                if lasted < SHORT_RUN { backoff.next_delay() } else { Duration::ZERO }
            }
            End::Failed(failure) => {
                slot.failed(&failure);
                if stopping {
                    break None;
                }
                if !shared.may_restart(settings.max_restarts) {
                    error!(worker = slot.name, "too many restarts; all workers are stopped");
                    shared.give_up();
                    break Some(failure);
                }
                backoff.next_delay()
            }
        };
        slot.life().phase = Phase::Waiting(later(Instant::now(), pause));
        tokio::select! {
            biased;
            () = shared.reached(Stage::Stopping) => break None,
            () = sleep(pause) => {}
        }
    };
    slot.life().phase = Phase::Ended;
    given_up.map(|failure| (slot.name.clone(), failure))
}

/// Makes the worker and runs it to its end, through the stages of stopping if all are told to stop.
async fn run_once(shared: &Shared, slot: &Slot, maker: &Maker) -> End {
    slot.life().phase = Phase::Starting;
    // Called within the future: it may panic before its first await.
    let making = AssertUnwindSafe(async { (maker.0)().await }).catch_unwind();
    let made = tokio::select! {
        biased;
        () = shared.reached(Stage::Stopping) => return End::NotMade,
        made = making => made,
    };
    let worker = match made {
        Ok(Ok(worker)) => worker,
        Ok(Err(error)) => return End::Failed(error),
        Err(panic) => return End::Failed(Panicked::of(&*panic).into()),
    };
    run(shared, slot, worker).await
}

async fn run(shared: &Shared, slot: &Slot, worker: ReadyWorker) -> End {
    let handle = worker.handle();
    {
        let mut life = slot.life();
        life.phase = Phase::Running;
        life.handle = Some(handle.clone());
        life.runs += 1;
    }
    // On a task of its own: what keeps a thread busy holds up no other worker, and a panic ends this run only.
    let mut running = AbortOnDropHandle::new(tokio::spawn(worker.run_without_signals()));
    let mut stage = shared.watch_stage();
    let ended = loop {
        let now = *stage.borrow_and_update();
        if now >= Stage::Stopping {
            handle.stop_for(shared.stopped().unwrap_or(StopReason::Handle));
        }
        if now >= Stage::Cancelling {
            handle.cancel();
        }
        tokio::select! {
            ended = &mut running => break ended,
            // The sender lives in `shared`, so that this cannot fail.
            Ok(()) = stage.changed() => {}
        }
    };
    slot.ended(&handle);
    match ended {
        Ok(Ok(Report { stopped, .. })) => End::Well(stopped),
        Ok(Err(error)) => End::Failed(error.into()),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => End::Failed(Panicked::of(&*panic).into()),
            Err(cancelled) => End::Failed(cancelled.into()),
        },
    }
}

impl Slot {
    /// Adds up what a run has done.
    fn ended(&self, handle: &crate::worker::WorkerHandle) {
        let (counts, held) = handle.sums();
        let mut life = self.life();
        life.counts += counts;
        life.held += held;
        life.handle = None;
    }

    fn failed(&self, failure: &BoxError) {
        let why = Reason::from_error(&**failure);
        error!(worker = self.name, error = %why, "a worker failed");
        let mut life = self.life();
        life.failures += 1;
        life.stopped = None;
        life.last_error = Some(why.as_str().to_owned());
    }
}
