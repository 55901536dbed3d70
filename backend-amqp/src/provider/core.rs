//! What a provider's callers and its task share, and everything that happens under its lock.
//!
//! Frames are queued under the lock, in the order in which the row of deliveries changes: an acknowledgement of many
//! covers every lower tag of the channel, so whatever else was decided about a lower tag must be queued before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use swarrot_core::{ConnectionState, DeadLetter, Delivery, Error, ErrorKind, Outcome, Receipt, Result, Settlement};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::acks::PutOff;
use super::unsettled::Unsettled;
use crate::connection::closed;

/// What a provider's callers and its task share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) queue: Arc<str>,
    pub(super) dead_letter: DeadLetter,
    state: Mutex<State>,
    /// Wakes those who wait for a delivery or an error.
    pub(super) ready: Notify,
    /// Wakes the task: somebody wants deliveries.
    pub(super) wanted: Notify,
    /// Wakes the task: acknowledgements are put off, and to be sent a little later.
    pub(super) put_off: Notify,
    /// Wakes who waits for copies to end.
    pub(super) copied: Notify,
    /// A delivery had the broker's count: the queue is one that counts.
    pub(super) counts: AtomicBool,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    stopped: bool,
    /// Nothing is to be fetched until somebody asks.
    paused: bool,
    /// How many channels there have been; receipts carry it.
    epoch: u64,
    channel: Option<lapin::Channel>,
    unsettled: Unsettled,
    acks: PutOff,
    /// What the next `receive` fails with.
    failure: Option<Error>,
    /// Settle calls whose copies are under way.
    copying: usize,
    prefetch: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked for deliveries yet.
    Idle,
    /// There is no channel, but there should be.
    Connecting,
    Serving,
    /// It cannot work; the next `receive` tries again.
    Parked,
    Closed,
}

/// What a call to `settle` comes to before any copy is made.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) failures: Vec<(Receipt, Error)>,
    pub(super) copies: Vec<(Delivery, Outcome)>,
}

impl Core {
    pub(super) fn new(queue: &str, dead_letter: DeadLetter, prefetch: u16) -> Self {
        Self {
            queue: queue.into(),
            dead_letter,
            state: Mutex::new(State {
                phase: Phase::Idle,
                stopped: false,
                paused: false,
                epoch: 0,
                channel: None,
                unsettled: Unsettled::default(),
                acks: PutOff::default(),
                failure: None,
                copying: 0,
                prefetch,
            }),
            ready: Notify::new(),
            wanted: Notify::new(),
            put_off: Notify::new(),
            copied: Notify::new(),
            counts: AtomicBool::new(false),
        }
    }

    pub(super) fn connection(&self) -> ConnectionState {
        let state = self.lock();
        match state.phase {
            Phase::Serving if state.paused && !state.is_live() => ConnectionState::Connecting,
            Phase::Idle | Phase::Serving => ConnectionState::Connected,
            Phase::Connecting => ConnectionState::Connecting,
            Phase::Parked | Phase::Closed => ConnectionState::Closed,
        }
    }

    pub(super) fn prefetch(&self) -> u16 {
        self.lock().prefetch
    }

    /// Sets the prefetch; whether it is another than before.
    pub(super) fn set_prefetch(&self, prefetch: u16) -> bool {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.prefetch, prefetch);
        self.hand_on(&state);
        before != prefetch
    }

    // Receiving.

    /// What there is for a `receive`; `None` if it has to wait.
    pub(super) fn take(&self, max: usize) -> Option<Result<Vec<Delivery>>> {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return Some(Err(closed()));
        }
        if state.stopped {
            return Some(Ok(Vec::new()));
        }
        if std::mem::take(&mut state.paused) {
            self.wanted.notify_one();
        }
        let allowed = state.allowed();
        if allowed > 0 {
            let deliveries = std::iter::from_fn(|| state.unsettled.hand_out()).take(allowed.min(max)).collect();
            if allowed > max {
                self.ready.notify_one();
            }
            return Some(Ok(deliveries));
        }
        if let Some(failure) = state.failure.take() {
            return Some(Err(failure));
        }
        if matches!(state.phase, Phase::Idle | Phase::Parked) {
            state.phase = Phase::Connecting;
            self.wanted.notify_one();
        }
        None
    }

    // The task's side.

    /// A new channel is there: the epoch of its deliveries.
    pub(super) fn begin_epoch(&self, channel: lapin::Channel) -> u64 {
        let mut state = self.lock();
        state.epoch += 1;
        state.channel = Some(channel);
        state.unsettled = Unsettled::default();
        state.acks = PutOff::default();
        state.failure = None;
        state.phase = Phase::Serving;
        state.epoch
    }

    /// The channel is gone, and all deliveries with it.
    pub(super) fn end_epoch(&self) {
        let mut state = self.lock();
        state.channel = None;
        state.unsettled = Unsettled::default();
        state.acks = PutOff::default();
        if state.phase == Phase::Serving {
            state.phase = Phase::Connecting;
        }
    }

    /// Takes in deliveries; false if one is missing between them.
    pub(super) fn push(&self, deliveries: &mut Vec<(u64, Delivery)>) -> bool {
        let mut state = self.lock();
        state.acks.arrived(Instant::now());
        let complete = deliveries.drain(..).all(|(tag, delivery)| state.unsettled.push(tag, delivery));
        drop(state);
        self.ready.notify_one();
        complete
    }

    /// A try to connect failed.
    pub(super) fn failed(&self, error: Error) {
        self.lock().failure = Some(error);
        self.ready.notify_one();
    }

    /// It cannot work.
    pub(super) fn park(&self, error: Error) {
        let mut state = self.lock();
        state.failure = Some(error);
        state.phase = Phase::Parked;
        drop(state);
        self.ready.notify_waiters();
    }

    /// Nothing is to be fetched until somebody asks. Whoever waits asks at once.
    pub(super) fn pause(&self) {
        self.lock().paused = true;
        self.ready.notify_waiters();
    }

    pub(super) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// From now on nothing is handed out.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.send_put_off();
        drop(state);
        self.ready.notify_waiters();
    }

    /// Gives back what was not handed out.
    pub(super) fn release_buffered(&self) {
        let mut state = self.lock();
        let tags = state.unsettled.take_buffered();
        state.release(&tags);
    }

    /// Gives back all that is held. Nothing can be settled after that.
    pub(super) fn release_all(&self) {
        let mut state = self.lock();
        state.send_put_off();
        let tags = state.unsettled.take_held();
        state.release(&tags);
        state.channel = None;
        state.phase = Phase::Closed;
        drop(state);
        self.ready.notify_waiters();
    }

    /// Whether there is no delivery, neither handed out nor waiting to be.
    pub(super) fn holds_nothing(&self) -> bool {
        let state = self.lock();
        state.unsettled.outstanding() == 0 && state.unsettled.buffered() == 0
    }

    pub(super) fn is_copying(&self) -> bool {
        self.lock().copying > 0
    }

    // Settling.

    /// Settles what needs no copy, and says which copies have to be made. The call must then be told of by
    /// [`end_copies`](Self::end_copies), if there are any.
    pub(super) fn settle(&self, settlements: &[Settlement]) -> (u64, Settled) {
        let mut settled = Settled::default();
        // Messages go when nobody waits for the lock any more.
        let mut acked = Vec::with_capacity(settlements.len());
        let mut state = self.lock();
        let epoch = state.epoch;
        let error = match &state.channel {
            _ if state.phase == Phase::Closed => Some(closed()),
            Some(channel) if channel.status().connected() => None,
            _ => Some(stale()),
        };
        if let Some(error) = error {
            let error = self.about(error);
            settled.failures = settlements.iter().map(|s| (s.receipt, error.clone())).collect();
            return (epoch, settled);
        }
        let none_waits = state.acks.is_empty();
        for Settlement { receipt, outcome } in settlements {
            let tag = if receipt.high() == epoch { receipt.low() } else { 0 };
            let held = match outcome {
                Outcome::Requeue => state.unsettled.settle(tag) && state.reject(tag),
                Outcome::Release => state.unsettled.settle(tag) && state.nack(tag),
                outcome if self.needs_copy(outcome) => {
                    let delivery = state.unsettled.begin_copy(tag);
                    settled.copies.extend(delivery.map(|delivery| (delivery, outcome.clone())));
                    settled.copies.last().is_some_and(|(delivery, _)| delivery.receipt() == *receipt)
                }
                _ => {
                    let delivery = state.unsettled.ack(tag);
                    let held = delivery.is_some();
                    if held {
                        state.acks.add(tag);
                    }
                    acked.extend(delivery);
                    held
                }
            };
            if !held {
                settled.failures.push((*receipt, self.about(stale())));
            }
        }
        if !acked.is_empty() {
            if !state.stopped && state.acks.may_wait(state.prefetch, Instant::now()) {
                if none_waits {
                    self.put_off.notify_one();
                }
            } else if !state.send_put_off() {
                let all = settlements.iter().filter(|s| !s.outcome.needs_copy());
                settled.failures.extend(all.map(|s| (s.receipt, self.about(stale()))));
            }
        }
        if !settled.copies.is_empty() {
            state.copying += 1;
        }
        self.hand_on(&state);
        drop(state);
        (epoch, settled)
    }

    /// Which of these are not held any more, each with the error that says so.
    pub(super) fn not_held(&self, receipts: &[Receipt]) -> Vec<(Receipt, Error)> {
        let state = self.lock();
        let error = if state.phase == Phase::Closed { closed() } else { stale() };
        let error = error.with_operation("extend").with_target(&*self.queue);
        let holds = |receipt: &Receipt| {
            state.is_live() && receipt.high() == state.epoch && state.unsettled.holds(receipt.low())
        };
        receipts.iter().filter(|receipt| !holds(receipt)).map(|receipt| (*receipt, error.clone())).collect()
    }

    /// Sends the acknowledgements that were put off. If the channel is gone, their deliveries come again.
    pub(super) fn send_put_off(&self) {
        self.lock().send_put_off();
    }

    /// Acknowledges the originals of copies that were taken, and holds the others again. Answers with those that failed.
    pub(super) fn end_copies(&self, epoch: u64, copies: Vec<(Receipt, Result<()>)>) -> Vec<(Receipt, Error)> {
        let mut failures = Vec::new();
        let mut state = self.lock();
        state.copying = state.copying.saturating_sub(1);
        let live = state.epoch == epoch && state.is_live();
        let taken: Vec<_> = copies.iter().filter(|(_, result)| result.is_ok()).map(|(receipt, _)| *receipt).collect();
        for (receipt, result) in copies {
            if live {
                state.unsettled.end_copy(receipt.low(), result.is_ok());
            }
            match result {
                // The broker gives the original to somebody else, although its copy is there.
                _ if !live => failures.push((receipt, self.about(stale()))),
                Ok(()) => {}
                Err(error) => failures.push((receipt, error)),
            }
        }
        if live && !taken.is_empty() {
            // With those that were put off, for a frame for the front of the row takes both.
            for receipt in &taken {
                state.acks.add(receipt.low());
            }
            if !state.send_put_off() {
                failures.extend(taken.into_iter().map(|receipt| (receipt, self.about(stale()))));
            }
        }
        self.hand_on(&state);
        drop(state);
        self.copied.notify_waiters();
        failures
    }

    /// Tells who waits that deliveries may be handed out which could not be before.
    fn hand_on(&self, state: &State) {
        if state.allowed() > 0 {
            self.ready.notify_one();
        }
    }

    /// Says what an error is about.
    pub(super) fn about(&self, error: Error) -> Error {
        error.with_operation("settle").with_target(&*self.queue)
    }

    fn needs_copy(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Retry { .. } => true,
            Outcome::Reject { .. } => self.dead_letter == DeadLetter::Park,
            _ => false,
        }
    }

    pub(super) fn note_count(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// lapin queues a frame when its future is polled for the first time; the future then waits until the frame is
/// written, which nobody here needs to know: a frame that is written is not yet processed. Each answers false if the
/// channel is gone.
impl State {
    /// Whether there is a channel and, as far as is known, it works.
    fn is_live(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.status().connected())
    }

    /// How many deliveries may be handed out now. The broker keeps to the prefetch by itself, except that what a changed
    /// prefetch found outstanding does not count for it.
    fn allowed(&self) -> usize {
        usize::from(self.prefetch).saturating_sub(self.unsettled.outstanding()).min(self.unsettled.buffered())
    }

    /// Acknowledges all that was put off.
    fn send_put_off(&mut self) -> bool {
        let frames = self.acks.frames(&mut self.unsettled);
        frames.into_iter().fold(true, |sent, (tag, multiple)| self.ack(tag, multiple) && sent)
    }

    fn ack(&self, tag: u64, multiple: bool) -> bool {
        self.queued(|channel| channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never())
    }

    /// Back into the queue, as a failed attempt.
    fn reject(&self, tag: u64) -> bool {
        self.queued(|channel| channel.basic_reject(tag, BasicRejectOptions { requeue: true }).now_or_never())
    }

    /// Back into the queue, not attempted: from 4.3 on quorum queues do not count it.
    fn nack(&self, tag: u64) -> bool {
        let options = BasicNackOptions { requeue: true, multiple: false };
        self.queued(|channel| channel.basic_nack(tag, options).now_or_never())
    }

    fn release(&self, tags: &[u64]) {
        for tag in tags {
            self.nack(*tag);
        }
    }

    fn queued(&self, send: impl FnOnce(&lapin::Channel) -> Option<lapin::Result<()>>) -> bool {
        self.channel.as_ref().is_some_and(|channel| !matches!(send(channel), Some(Err(_))))
    }
}

fn stale() -> Error {
    Error::new(ErrorKind::Stale, "the delivery is not held any more; the broker delivers it again if it was unsettled")
}
