//! What happens around the loops of a worker: their start, signals, limits of time, the stages of stopping, the report.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::report::{Report, StopReason, WorkerError};
use super::settings::{Settings, run_hooks};
use super::shared::{Shared, Stage};
use super::signals::Listener;
use super::{WorkerHandle, work};
use crate::error::BoxError;
use crate::gate::Flow;
use crate::handler::Handler;

/// How long the broker may take to take back what was fetched, and to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// How long settlements may take after handlers were cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Runs a worker from its start to its report.
pub(super) async fn run<H: Handler>(
    shared: Arc<Shared>,
    settings: Settings,
    handler: Arc<H>,
) -> Result<Report, WorkerError> {
    let signals = Listener::new(settings.signals).map_err(WorkerError::start)?;
    let failure = tokio::select! {
        biased;
        never = escalate(&shared, signals, &settings) => match never {},
        failure = run_to_end(&shared, &settings, handler) => failure,
    };
    let report = Report {
        stopped: shared.stopped().unwrap_or(StopReason::Closed),
        elapsed: shared.start().elapsed(),
        held: shared.held.total(),
        counts: shared.counters.snapshot(),
    };
    info!(queue = shared.provider.queue(), reason = %report.stopped, counts = ?report.counts, "worker stopped");
    let failure = failure.or_else(|| match &report.stopped {
        StopReason::Broker(error) => Some(error.clone().into()),
        StopReason::Handler(error) => Some(error.clone().into()),
        _ => None,
    });
    match failure {
        None => Ok(report),
        Some(failure) => Err(WorkerError::end(report, failure)),
    }
}

/// Notes the end of a run, also where its future is dropped: handles and probes must not take it for a worker at work.
pub(super) struct Ended(pub(super) Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Goes through the stages of stopping as signals arrive and the deadline passes.
async fn escalate(shared: &Shared, signals: Listener, settings: &Settings) -> Infallible {
    let time_is_up = async {
        match settings.max_time {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
        shared.stop(StopReason::MaxTime);
        std::future::pending::<Infallible>().await
    };
    let overdue = async {
        shared.reached(Stage::Draining).await;
        sleep(settings.deadline).await;
        shared.cancel();
        std::future::pending::<Infallible>().await
    };
    let by_signal = signals.escalate(|name| shared.stop(StopReason::Signal(name)), || shared.cancel());
    tokio::select! {
        never = time_is_up => never,
        never = overdue => never,
        never = by_signal => never,
    }
}

/// Runs the loops until they end, then closes the provider. Returns what ended the worker beside its stop reason.
async fn run_to_end<H: Handler>(shared: &Arc<Shared>, settings: &Settings, handler: Arc<H>) -> Option<BoxError> {
    let worker = WorkerHandle::new(Arc::clone(shared));
    shared.start();
    #[cfg(feature = "metrics")]
    super::metrics::connect(shared);
    if settings.max_messages == Some(0) {
        shared.stop(StopReason::MaxMessages);
    }
    tokio::select! {
        () = run_hooks(&settings.hooks.start, &worker) => {}
        () = shared.reached(Stage::Cancelling) => warn!(queue = shared.provider.queue(), "a start hook was cancelled"),
    }
    let concurrency = *shared.concurrency.borrow();
    shared.set_prefetch(settings.prefetch_for(concurrency)).await;
    info!(queue = shared.provider.queue(), concurrency, "worker started");

    let mut loops: FuturesUnordered<_> = (0..settings.parallelism)
        .map(|index| {
            let work = work::run(Arc::clone(shared), settings.clone(), Arc::clone(&handler), index);
            AbortOnDropHandle::new(tokio::spawn(work))
        })
        .collect();
    let mut failure = until_stopping(shared, settings, &mut loops).await;

    let drain = async {
        let stopped = timeout(CLOSE_DEADLINE, shared.provider.stop()).await;
        if let Ok(Err(error)) = stopped {
            warn!(queue = shared.provider.queue(), %error, "the broker was not told that this worker stops");
        }
    };
    let ended = async {
        let all = async {
            while let Some(ended) = loops.next().await {
                failure = failure.take().or_else(|| failed(ended));
            }
        };
        let overdue = async {
            shared.reached(Stage::Cancelling).await;
            sleep(CANCEL_GRACE).await;
        };
        tokio::select! {
            () = all => {}
            () = overdue => warn!(queue = shared.provider.queue(), "settlements did not end in time"),
        }
    };
    tokio::join!(drain, ended);
    drop(loops);

    match timeout(CLOSE_DEADLINE, shared.provider.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(queue = shared.provider.queue(), %error, "the provider did not close cleanly"),
        Err(_) => warn!(queue = shared.provider.queue(), "the provider did not close in time"),
    }
    shared.end();
    run_hooks(&settings.hooks.stop, &worker).await;
    failure
}

/// Watches over running loops until the worker begins to stop.
async fn until_stopping(
    shared: &Arc<Shared>,
    settings: &Settings,
    loops: &mut FuturesUnordered<AbortOnDropHandle<()>>,
) -> Option<BoxError> {
    let mut concurrency = shared.concurrency.subscribe();
    concurrency.mark_unchanged();
    loop {
        tokio::select! {
            biased;
            () = shared.reached(Stage::Finishing) => return None,
            Ok(()) = concurrency.changed() => {
                let prefetch = settings.prefetch_for(*concurrency.borrow_and_update());
                // Otherwise it is set with the next `receive`.
                if settings.gates.flow() == Flow::Free {
                    shared.set_prefetch(prefetch).await;
                }
            }
            // A loop ends by itself only if it failed.
            Some(ended) = loops.next() => {
                let failure = failed(ended);
                shared.stop(StopReason::Closed);
                return failure;
            }
        }
    }
}

fn failed(ended: Result<(), JoinError>) -> Option<BoxError> {
    ended.err().map(|error| {
        error!(%error, "a loop of the worker ended in a panic");
        error.into()
    })
}
