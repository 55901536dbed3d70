//! One loop of a worker: receives into free slots, runs handlers, hands their outcomes to settling.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

use super::WorkerHandle;
use super::in_flight::{InFlight, Running};
use super::intake::Intake;
use super::lease::Leases;
use super::report::StopReason;
use super::settings::{Settings, run_hooks};
use super::settle::Settling;
use super::shared::{Shared, Stage};
use super::slots::{Finished, Slots};
use crate::clock::later;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::layer::Panicked;
use crate::outcome::{Outcome, Reason};
use crate::receipt::Receipt;
use crate::settlement::Settlement;

/// How long an idle worker waits for messages in one call.
const IDLE_WAIT: Duration = Duration::from_secs(60);
/// How long a queue must be empty for a worker that stops then.
const EMPTY_WAIT: Duration = Duration::from_millis(500);
/// How long it is not looked again, at least, whether other loops still run handlers.
const LOOK: Duration = Duration::from_millis(100);
/// How often the process's memory is looked at, at most.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// Runs one loop of a worker until the worker stops and everything of this loop is settled.
pub(super) async fn run<H: Handler>(shared: Arc<Shared>, settings: Settings, handler: Arc<H>, index: usize) {
    let table = Arc::new(InFlight::default());
    shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&table));
    let wait = if settings.stop_when_empty { EMPTY_WAIT } else { IDLE_WAIT };
    let system = shared.provider.capabilities().system;
    let callee = Arc::new(Callee { handler, shared: Arc::clone(&shared), ack_first: settings.ack_first });
    let mut intake = Intake::new(Arc::clone(&shared), Arc::new(settings.clone()), wait);
    let mut settling = Settling::new(Arc::clone(&shared));
    let mut leases = Leases::new(&shared.provider);
    let mut slots = Slots::new();
    let mut finished = Vec::new();
    let mut idling: Option<BoxFuture<'static, ()>> = None;
    let mut stage = shared.watch_stage();
    let mut concurrency = shared.concurrency.subscribe();
    // By when what is left to be settled has to be, if nothing runs any more.
    let mut settled_by = None;
    let mut work = Work { shared, settings, table, index, busy: false, quiet: None, memory_checked: Instant::now() };

    loop {
        let now = *stage.borrow_and_update();
        work.note_busy(slots.running() > 0 || !settling.is_empty());
        if now > Stage::Running {
            intake.drop_call();
            idling = None;
        } else if !intake.is_waiting()
            && idling.is_none()
            && let Some(max) = NonZeroUsize::new(work.room(slots.running()))
        {
            work.note_quiet(intake.hears());
            intake.ask(max);
        }
        if now >= Stage::Cancelling {
            work.cancel_all(&mut slots, &mut settling);
        }
        settling.send();
        if now > Stage::Running && slots.running() == 0 && settling.is_empty() {
            return;
        }

        settled_by = (now == Stage::Finishing && slots.running() == 0)
            .then(|| settled_by.unwrap_or_else(|| later(Instant::now(), work.settings.deadline)));

        tokio::select! {
            biased;
            Ok(()) = stage.changed() => {}
            () = slots.finished(&mut finished), if slots.running() > 0 => {
                for (slot, result) in finished.drain(..) {
                    work.finish(slot, result, &mut settling);
                    // Handlers that never wait, and a provider that has always more, would keep out all other tasks.
                    consume_budget().await;
                }
                work.check_memory();
            }
            done = settling.done() => {
                work.shared.note_done(done.len());
                leases.forget(&done);
            }
            lost = leases.lost() => lost.into_iter().for_each(|receipt| work.lose(receipt, &mut slots)),
            arrived = intake.arrived() => {
                let Some(deliveries) = arrived else { continue };
                if deliveries.is_empty() {
                    idling = work.idle();
                }
                work.shared.note_arrived(deliveries.len());
                let since = Instant::now();
                for (delivery, passed) in deliveries {
                    let receipt = delivery.receipt();
                    let admitted = work.admit(delivery.with_system(system), &mut settling);
                    // What is acked before it is handled has no lease that could be renewed.
                    if admitted.is_none() || !callee.ack_first {
                        leases.hold(receipt);
                    }
                    let Some(delivery) = admitted else { continue };
                    let running = Running { delivery: delivery.clone(), since, passed };
                    let suspect = work.is_suspect(&delivery);
                    let call = call(Arc::clone(&callee), delivery, suspect);
                    let call = if work.settings.spawned { Either::Right(spawned(call)) } else { Either::Left(call) };
                    work.table.insert(slots.start(call), running);
                }
            }
            () = async { idling.as_mut().expect("there is one").await }, if idling.is_some() => idling = None,
            Ok(()) = concurrency.changed() => intake.shrink(work.room(slots.running())),
            () = until(settled_by) => {
                // Handlers of other loops have all the time they need. Until they are done it is looked now and then, whatever the
                // deadline: without one it would be looked all the time.
                settled_by = Some(later(Instant::now(), work.settings.deadline.max(LOOK)));
                if work.shared.running() == 0 {
                    warn!(queue = work.shared.provider.queue(), "settlements did not end in time");
                    work.shared.cancel();
                }
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a handler's future comes to.
enum Called {
    /// The handler ran.
    Handled(Result<Outcome, BoxError>),
    /// The handler ran on a message that was acked before.
    AckedAndHandled(Result<Outcome, BoxError>),
    /// It did not run: the ack before it failed, or the runtime is shutting down. Someone else gets the message.
    NotHandled,
}

/// What the calls of a loop share.
struct Callee<H> {
    handler: Arc<H>,
    shared: Arc<Shared>,
    /// Whether messages are acked before they are handled.
    ack_first: bool,
}

/// Runs the handler beside others, or alone if the message may be what has ended workers before.
///
/// What is rare is boxed: the future of each call has room for all that it may become.
async fn call<H: Handler>(callee: Arc<Callee<H>>, delivery: Delivery, suspect: bool) -> Called {
    if suspect {
        return Box::pin(async move { callee.shared.turns.alone(callee.handle(delivery)).await }).await;
    }
    let _turn = callee.shared.turns.beside_others().await;
    callee.handle(delivery).await
}

impl<H: Handler> Callee<H> {
    async fn handle(&self, delivery: Delivery) -> Called {
        if self.ack_first {
            return Box::pin(self.ack_and_handle(delivery)).await;
        }
        Called::Handled(self.handler.handle(delivery).await)
    }

    async fn ack_and_handle(&self, delivery: Delivery) -> Called {
        if let Err(error) = self.shared.provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await {
            let (queue, id) = (delivery.queue(), delivery.id());
            warn!(queue, id, %error, "not handled, since it could not be acked before");
            return Called::NotHandled;
        }
        // Counted at once: the handler may be cancelled.
        self.shared.counters.acked.add(1);
        // A panic of a layer must not hide that the message is acked.
        let result = AssertUnwindSafe(async { self.handler.handle(delivery).await }).catch_unwind().await;
        Called::AckedAndHandled(result.unwrap_or_else(|panic| Err(Panicked::of(&*panic).into())))
    }
}

/// Runs a call on a task of its own, which ends with the future that waits for it.
async fn spawned(call: impl Future<Output = Called> + Send + 'static) -> Called {
    match AbortOnDropHandle::new(tokio::spawn(call)).await {
        Ok(called) => called,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Called::NotHandled,
        },
    }
}

/// What a loop knows beside its futures.
struct Work {
    shared: Arc<Shared>,
    settings: Settings,
    table: Arc<InFlight>,
    index: usize,
    /// Whether the others were told that this loop has something in flight.
    busy: bool,
    /// The mark of when it began to wait, if nothing was in flight then in any loop and the provider was connected.
    quiet: Option<u64>,
    memory_checked: Instant,
}

impl Drop for Work {
    /// However the loop ends, nothing of it is in flight any more.
    fn drop(&mut self) {
        let mut tables = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|table| !Arc::ptr_eq(table, &self.table));
        drop(tables);
        self.note_busy(false);
    }
}

impl Work {
    /// How many more deliveries this loop may take.
    fn room(&self, running: usize) -> usize {
        let (total, loops) = (*self.shared.concurrency.borrow(), self.settings.parallelism);
        let share = total / loops + usize::from(self.index < total % loops);
        // What is admitted is counted when it arrives; a worker with several loops may fetch a few too many, which go back.
        let left = self.settings.max_messages.map_or(u64::MAX, |max| max.saturating_sub(self.shared.admitted()));
        share.saturating_sub(running).min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Whether the broker has delivered it so often that it may be what ends workers.
    fn is_suspect(&self, delivery: &Delivery) -> bool {
        let known = self.settings.crash_limit.zip(delivery.delivery_count());
        known.is_some_and(|(max, count)| count > 1 && count > max / 2)
    }

    /// Decides whether a delivery's handler runs; if not, settles it.
    fn admit(&mut self, delivery: Delivery, settling: &mut Settling) -> Option<Delivery> {
        let mut settle = |outcome| settling.push(Settlement::new(delivery.receipt(), outcome));
        if self.shared.stage() > Stage::Running || !self.shared.admit(self.settings.max_messages) {
            settle(Outcome::Release);
            return None;
        }
        let refused = match (self.settings.crash_limit, delivery.delivery_count()) {
            (Some(max), Some(count)) if count > max => Some(Reason::new(format!(
                "delivered {count} times without being settled, the limit is {max}; it may end the process that handles it"
            ))),
            _ => self.settings.limits.check_size(delivery.message()).err().map(|error| Reason::from_error(&error)),
        };
        if let Some(reason) = refused {
            error!(queue = delivery.queue(), id = delivery.id(), %reason, "message rejected without being handled");
            settle(Outcome::Reject { reason });
            return None;
        }
        Some(delivery)
    }

    /// Turns what a handler came to into a settlement.
    fn finish(&mut self, slot: usize, finished: Finished<Called>, settling: &mut Settling) {
        let Some(Running { delivery, passed, .. }) = self.table.remove(slot) else { return };
        let (result, acked) = match finished {
            Finished::Returned(Called::Handled(result)) => (result, false),
            Finished::Returned(Called::AckedAndHandled(result)) => (result, true),
            Finished::Returned(Called::NotHandled) => {
                return settling.push(Settlement::new(delivery.receipt(), Outcome::Release));
            }
            Finished::Panicked(panicked) => (Err(panicked.into()), false),
        };
        self.shared.counters.handled.add(1);
        passed.handled(&delivery, &result);
        let outcome = result.unwrap_or_else(|error| self.failed(&delivery, &error));
        if acked {
            self.shared.note_done(1);
        } else {
            settling.push(Settlement::new(delivery.receipt(), outcome));
        }
    }

    /// Decides what becomes of a delivery whose handler failed.
    fn failed(&self, delivery: &Delivery, error: &BoxError) -> Outcome {
        let counters = &self.shared.counters;
        counters.errors.add(1);
        if error.is::<Panicked>() {
            counters.panics.add(1);
        }
        // The error's text and the decision are the user's code, and run outside the slots: a panic there must not end
        // the loop with all that it has in flight.
        let reason = Panicked::catch(|| Reason::from_error(&**error))
            .unwrap_or_else(|panicked| Reason::new(format!("an error whose text panicked: {}", panicked.text())));
        error!(
            queue = delivery.queue(), id = delivery.id(), attempt = delivery.attempt(), %reason,
            "the handler failed"
        );
        if self.settings.stop_on_error {
            self.shared.stop(StopReason::Handler(reason.as_str().to_owned()));
        }
        Panicked::catch(|| (self.settings.on_error)(delivery, error)).unwrap_or_else(|panicked| {
            error!(queue = delivery.queue(), id = delivery.id(), panic = panicked.text(), "on_error panicked");
            Outcome::reject(format!("on_error panicked: {}; {reason}", panicked.text()))
        })
    }

    /// Cancels every handler and gives its message back, unless it was acked before.
    fn cancel_all<F: Future<Output = Called>>(&mut self, slots: &mut Slots<F>, settling: &mut Settling) {
        let mut running = Vec::new();
        self.table.for_each(|slot, message| running.push((slot, message.delivery.receipt())));
        for (slot, receipt) in running {
            self.table.remove(slot);
            if slots.cancel(slot) {
                self.shared.counters.cancelled.add(1);
                // An ack that was under way goes back, if it had no effect, when the provider closes.
                if !self.settings.ack_first {
                    settling.push(Settlement::new(receipt, Outcome::Release));
                }
            }
        }
    }

    /// Cancels the handler of a delivery whose lease is lost. One that waits to be settled learns of the loss there.
    fn lose<F: Future<Output = Called>>(&mut self, receipt: Receipt, slots: &mut Slots<F>) {
        let mut lost = None;
        self.table.for_each(|slot, message| {
            if message.delivery.receipt() == receipt {
                lost = Some(slot);
            }
        });
        if let Some(slot) = lost.filter(|slot| slots.cancel(*slot)) {
            self.table.remove(slot);
            self.shared.note_done(1);
            self.shared.counters.lost.add(1);
            warn!(queue = self.shared.provider.queue(), ?receipt, "lease lost; the handler is cancelled");
        }
    }

    /// Tells the other loops whether this one has something in flight, which may come back into the queue.
    fn note_busy(&mut self, busy: bool) {
        // Only a worker that stops when the queue is empty needs to know.
        if self.settings.stop_when_empty && busy != self.busy {
            self.busy = busy;
            self.shared.busy(busy);
        }
    }

    fn note_quiet(&mut self, hears: bool) {
        if self.settings.stop_when_empty {
            self.quiet = self.shared.quiet().filter(|_| hears);
        }
    }

    /// What to do when nothing has arrived for a while.
    fn idle(&self) -> Option<BoxFuture<'static, ()>> {
        if self.settings.stop_when_empty && self.quiet.is_some() && self.quiet == self.shared.quiet() {
            self.shared.stop(StopReason::Empty);
        }
        if self.settings.hooks.idle.is_empty() {
            return None;
        }
        let (hooks, worker) = (self.settings.hooks.idle.clone(), WorkerHandle::new(Arc::clone(&self.shared)));
        // A panic of a hook must not end the loop with all that it has in flight.
        let run = AssertUnwindSafe(async move { run_hooks(&hooks, &worker).await }).catch_unwind();
        Some(Box::pin(run.map(|ran| {
            if let Err(panic) = ran {
                error!(panic = Panicked::of(&*panic).text(), "a hook panicked");
            }
        })))
    }

    fn check_memory(&mut self) {
        let Some(limit) = self.settings.max_memory else { return };
        if self.memory_checked.elapsed() < MEMORY_INTERVAL {
            return;
        }
        self.memory_checked = Instant::now();
        let used = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64);
        if used > limit {
            self.shared.stop(StopReason::MaxMemory(used));
        }
    }
}
