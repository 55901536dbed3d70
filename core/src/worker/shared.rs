//! What the loops of a worker, its handle and its health view share.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::counters::Counters;
use super::held::Held;
use super::in_flight::InFlight;
use super::report::StopReason;
use super::turns::Turns;
use crate::contract::MessageProvider;
use crate::error::Error;

/// How long the broker may take to be told something.
pub(super) const TELL_DEADLINE: Duration = Duration::from_secs(10);

/// How far a worker is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It receives.
    Running,
    /// It has taken in as many messages as it may; what runs has all the time it needs.
    Finishing,
    /// It was told to stop; what runs may finish until the deadline.
    Draining,
    /// What runs is cancelled.
    Cancelling,
    /// It has ended.
    Ended,
}

/// What the loops of a worker, its handle and its health view share.
pub(super) struct Shared {
    pub(super) provider: Arc<dyn MessageProvider>,
    pub(super) counters: Counters,
    pub(super) concurrency: watch::Sender<usize>,
    #[cfg(feature = "metrics")]
    pub(super) settle_times: std::sync::OnceLock<super::metrics::SettleTimes>,
    pub(super) held: Held,
    /// What the provider was told last.
    prefetch: Mutex<Option<NonZeroU16>>,
    /// One table for each loop.
    pub(super) in_flight: Mutex<Vec<Arc<InFlight>>>,
    pub(super) turns: Turns,
    /// Deliveries whose handlers were started, or that were refused.
    admitted: AtomicU64,
    /// Deliveries that have arrived and are neither settled nor lost.
    unsettled: AtomicUsize,
    stage: watch::Sender<Stage>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: Option<StopReason>,
    started: Option<Instant>,
    last_receive: Option<Instant>,
    /// Loops that have something in flight, and how often that number has changed.
    busy: usize,
    busy_changes: u64,
    /// The broker's last error, and since when there has been no success.
    failing: Option<(Instant, Error)>,
}

impl Shared {
    pub(super) fn new(provider: Arc<dyn MessageProvider>) -> Arc<Self> {
        Arc::new(Self {
            provider,
            counters: Counters::default(),
            concurrency: watch::Sender::new(1),
            #[cfg(feature = "metrics")]
            settle_times: std::sync::OnceLock::new(),
            held: Held::default(),
            prefetch: Mutex::default(),
            in_flight: Mutex::default(),
            turns: Turns::default(),
            admitted: AtomicU64::new(0),
            unsettled: AtomicUsize::new(0),
            stage: watch::Sender::new(Stage::Running),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the provider how many unsettled deliveries it may hold, unless it knows.
    pub(super) async fn set_prefetch(&self, prefetch: NonZeroU16) {
        let before = self.prefetch.lock().unwrap_or_else(PoisonError::into_inner).replace(prefetch);
        if before == Some(prefetch) {
            return;
        }
        match timeout(TELL_DEADLINE, self.provider.set_prefetch(prefetch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(queue = self.provider.queue(), %error, "the prefetch holds from the next connection on");
            }
            Err(_) => warn!(queue = self.provider.queue(), "the broker did not confirm the prefetch in time"),
        }
    }

    /// The tables of what is in flight.
    pub(super) fn tables(&self) -> Vec<Arc<InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(super) fn watch_stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Waits until the worker is at least this far. Cancel safe.
    pub(super) async fn reached(&self, stage: Stage) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    /// Begins to stop; the first reason stays, but for a failure after a limit.
    pub(super) fn stop(&self, reason: StopReason) {
        let to = if matches!(reason, StopReason::MaxMessages) { Stage::Finishing } else { Stage::Draining };
        let mut state = self.state();
        let stays = state.stopped.as_ref().is_some_and(|first| first.is_failure() || !reason.is_failure());
        if !stays {
            state.stopped = Some(reason);
        }
        drop(state);
        self.advance(to);
    }

    pub(super) fn cancel(&self) {
        self.advance(Stage::Cancelling);
    }

    pub(super) fn end(&self) {
        self.advance(Stage::Ended);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = *now < to;
            if forward {
                *now = to;
            }
            forward
        });
    }

    /// Takes one more delivery in, unless there were `max` before; the last one stops the worker.
    pub(super) fn admit(&self, max: Option<u64>) -> bool {
        let Some(max) = max else { return true };
        let one_more = |admitted| (admitted < max).then_some(admitted + 1);
        let before = self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if before.is_ok_and(|before| before + 1 == max) {
            self.stop(StopReason::MaxMessages);
        }
        before.is_ok()
    }

    /// How many deliveries were taken in, where their number is limited.
    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    pub(super) fn note_arrived(&self, deliveries: usize) {
        self.unsettled.fetch_add(deliveries, Ordering::Relaxed);
    }

    pub(super) fn note_done(&self, deliveries: usize) {
        self.unsettled.fetch_sub(deliveries, Ordering::Relaxed);
    }

    /// How many deliveries the provider holds for this worker: their handlers run, or they wait to be settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Notes that a loop has something in flight, or nothing any more.
    pub(super) fn busy(&self, busy: bool) {
        let mut state = self.state();
        state.busy = if busy { state.busy + 1 } else { state.busy - 1 };
        state.busy_changes += 1;
    }

    /// A mark of this moment if no loop has anything in flight; the same mark later if none had in between.
    pub(super) fn quiet(&self) -> Option<u64> {
        let state = self.state();
        (state.busy == 0).then_some(state.busy_changes)
    }

    /// How many handlers run, in all loops.
    pub(super) fn running(&self) -> usize {
        let mut running = 0;
        self.tables().iter().for_each(|table| table.for_each(|_, _| running += 1));
        running
    }

    pub(super) fn stopped(&self) -> Option<StopReason> {
        self.state().stopped.clone()
    }

    pub(super) fn start(&self) -> Instant {
        *self.state().started.get_or_insert_with(Instant::now)
    }

    /// Notes an answer of the broker, with or without deliveries.
    pub(super) fn received(&self) {
        let mut state = self.state();
        state.last_receive = Some(Instant::now());
        state.failing = None;
    }

    /// Notes an error of the broker, and returns since when there have been only errors.
    pub(super) fn failed(&self, error: &Error) -> Instant {
        let mut state = self.state();
        let since = state.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.failing = Some((since, error.clone()));
        since
    }

    pub(super) fn started(&self) -> Option<Instant> {
        self.state().started
    }

    pub(super) fn last_receive(&self) -> Option<Instant> {
        self.state().last_receive
    }

    pub(super) fn failing(&self) -> Option<(Instant, Error)> {
        self.state().failing.clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("provider", &self.provider).field("stage", &self.stage()).finish_non_exhaustive()
    }
}
