//! The worker: receive, handle, settle, until told to stop.

mod control;
mod counters;
mod gates;
mod handle;
mod health;
mod held;
mod in_flight;
mod intake;
mod lease;
#[cfg(feature = "metrics")]
mod metrics;
mod ready;
mod report;
mod settings;
mod settle;
mod shared;
mod signals;
mod slots;
mod turns;
mod work;

use std::future::Future;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::{Identity, Layer, Stack};

pub use self::handle::WorkerHandle;
pub use self::health::{Health, HealthInFlight};
pub use self::ready::ReadyWorker;
pub use self::report::{Counts, Report, StopReason, WorkerError};
use self::settings::{Settings, hook};
use self::shared::Shared;
pub(crate) use self::signals::{Listener as SignalListener, Signals};
use crate::contract::MessageProvider;
use crate::delivery::Delivery;
use crate::error::{BoxError, Result};
use crate::extensions::Extensions;
use crate::gate::Gate;
use crate::handler::{Context, Handler, HandlerShape, IntoHandler};
use crate::layer::CatchPanic;
use crate::message::Limits;
use crate::outcome::Outcome;

/// Receives deliveries, runs the handler, and settles by its outcome, until a signal, a limit or a fatal error.
///
/// What is in flight runs in one task, in as many slots as [`concurrency`](Self::concurrency) says. A handler that
/// panics or fails does not end the worker: its message is parked, unless a layer or [`on_error`](Self::on_error)
/// decides otherwise.
///
/// # Stopping
/// The first of SIGTERM, SIGINT or SIGQUIT, a limit, or [`WorkerHandle::stop`]: nothing more is received, what was fetched
/// but not started goes back uncounted, and what runs may finish. After the [`deadline`](Self::deadline), or at a second
/// signal: handlers are cancelled and their messages go back. A third signal ends the process.
#[must_use = "a worker does nothing until it is run"]
#[derive(Debug)]
pub struct Worker<L = Identity> {
    shared: Arc<Shared>,
    layer: L,
    states: Extensions,
    settings: Settings,
}

impl Worker {
    /// A worker on this provider's queue.
    pub fn new(provider: Arc<dyn MessageProvider>) -> Self {
        Self {
            shared: Shared::new(provider),
            layer: Identity::new(),
            states: Extensions::default(),
            settings: Settings::default(),
        }
    }
}

impl<L> Worker<L> {
    /// Wraps the handler in a layer. The layer added first is the outermost.
    pub fn layer<T>(self, layer: T) -> Worker<Stack<T, L>> {
        let Self { shared, layer: outer, states, settings } = self;
        Worker { shared, layer: Stack::new(layer, outer), states, settings }
    }

    /// Gives handlers a shared value, for `State<T>`; one for each type.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(Arc::new(state));
        self
    }

    /// Sets how many deliveries are in flight at once: 1, unless told otherwise. Zero counts as one.
    ///
    /// With one, deliveries are handled in order. The prefetch follows, unless it is set.
    pub fn concurrency(self, deliveries: usize) -> Self {
        self.shared.concurrency.send_replace(deliveries.max(1));
        self
    }

    /// Sets how many deliveries may be held at once, those that wait for their turn included: twice the concurrency, unless
    /// told otherwise. A larger number is faster for short handlers; a smaller one shares long ones fairly among workers.
    pub fn prefetch(mut self, deliveries: NonZeroU16) -> Self {
        self.settings.prefetch = Some(deliveries);
        self
    }

    /// Runs this many loops on tasks of their own, which share the concurrency: 1, unless told otherwise.
    pub fn parallelism(mut self, loops: usize) -> Self {
        self.settings.parallelism = loops.max(1);
        self
    }

    /// Runs each handler on a tokio task of its own, for handlers that compute for long between their awaits.
    pub fn spawned(mut self) -> Self {
        self.settings.spawned = true;
        self
    }

    /// Passes this gate before it fetches, such as a [`RateLimit`](crate::gate::RateLimit) or a
    /// [`KillSwitch`](crate::gate::KillSwitch); several are passed in the order in which they were added. All loops of the worker
    /// share it, and so do several workers that are given clones of one `Arc`.
    pub fn gate(mut self, gate: impl Gate + 'static) -> Self {
        self.settings.gates.push(Arc::new(gate));
        self
    }

    /// Stops after this many messages. The last ones have all the time they need: the [`deadline`](Self::deadline) counts
    /// only from when the worker is told to stop, by a signal, a handle or another limit.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.settings.max_messages = Some(messages);
        self
    }

    /// Stops after this time.
    pub fn max_time(mut self, time: Duration) -> Self {
        self.settings.max_time = Some(time);
        self
    }

    /// Stops once the process uses more than this many bytes of memory (RSS). It is looked at after a message, ten times
    /// a second at most; where the system does not tell, it has no effect.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.settings.max_memory = Some(bytes);
        self
    }

    /// Stops once the queue has been empty for half a second to a second and nothing is in flight.
    ///
    /// Messages that are held back for a retry do not count; they wait for the next worker. A test that wants to see them
    /// handled stops by the [`handle`](Self::handle).
    pub fn stop_when_empty(mut self) -> Self {
        self.settings.stop_when_empty = true;
        self
    }

    /// Sets how long handlers may take to finish after the worker was told to stop: 30 s, unless told otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// Ends the worker with an error once the broker has only failed for this long; unless told, it never gives up.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.give_up_after = Some(time);
        self
    }

    /// Parks a message, without running its handler, once the broker has delivered it more often than this: 20, unless told
    /// otherwise; `None` never does. It ends the loop of a message that kills its worker, where the broker counts
    /// ([`Capabilities::delivery_count`](crate::Capabilities::delivery_count)).
    ///
    /// It looks before the handler runs, at the broker's count alone, which includes deliveries that never reached a handler:
    /// keep it well above the attempts that a message should have. Those are for [`Retry`](crate::layer::Retry) and
    /// [`MaxDeliveries`](crate::layer::MaxDeliveries), which look when a handler has failed.
    ///
    /// A message that was delivered more than half as often is suspect: its handler runs alone, for half a minute at most,
    /// so that what is handled beside it is not counted with it again and again.
    pub fn crash_limit(mut self, deliveries: impl Into<Option<u32>>) -> Self {
        self.settings.crash_limit = deliveries.into();
        self
    }

    /// Sets how large a message may be to be handled; what is larger is parked.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Acks each message before its handler runs: at most once, instead of at least once. Outcomes have no effect then.
    pub fn ack_before_handling(mut self) -> Self {
        self.settings.ack_first = true;
        self
    }

    /// Decides what becomes of a delivery whose handler failed and that no layer took care of; unless told, it is rejected
    /// with the error as its reason.
    pub fn on_error(mut self, decide: impl Fn(&Delivery, &BoxError) -> Outcome + Send + Sync + 'static) -> Self {
        self.settings.on_error = Arc::new(decide);
        self
    }

    /// Stops the worker, with an error, once a handler has failed and no layer took care of it. Its message is still
    /// treated as [`on_error`](Self::on_error) says.
    pub fn stop_on_error(mut self) -> Self {
        self.settings.stop_on_error = true;
        self
    }

    /// Leaves the process's signals alone.
    pub fn signals_off(mut self) -> Self {
        self.settings.signals = Signals::Off;
        self
    }

    /// Runs this before the first delivery is received. Like a handler, it is cancelled by the stop deadline.
    pub fn on_start<F, Fut>(mut self, run: F) -> Self
    where
        F: Fn(WorkerHandle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.settings.hooks.start.push(hook(run));
        self
    }

    /// Runs this each time nothing has arrived for a while: after a minute, or half a second with
    /// [`stop_when_empty`](Self::stop_when_empty).
    pub fn on_idle<F, Fut>(mut self, run: F) -> Self
    where
        F: Fn(WorkerHandle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.settings.hooks.idle.push(hook(run));
        self
    }

    /// Runs this once everything is settled and the provider is closed.
    pub fn on_stop<F, Fut>(mut self, run: F) -> Self
    where
        F: Fn(WorkerHandle) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.settings.hooks.stop.push(hook(run));
        self
    }

    /// A handle to stop and look at the worker from elsewhere.
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle::new(Arc::clone(&self.shared))
    }

    /// Runs until a signal, a limit or a fatal error, then closes the provider.
    ///
    /// # Errors
    /// If the handler asks for what the worker does not have; if the broker fails for good, or for longer than
    /// [`give_up_after`](Self::give_up_after); if a handler fails under [`stop_on_error`](Self::stop_on_error).
    ///
    /// # Cancel safety
    /// Dropping the future cancels all handlers; their messages go back to the broker once the provider is closed or
    /// dropped, and a [`WorkerHandle`] keeps it alive.
    pub async fn run<H, Args>(self, handler: H) -> Result<Report, WorkerError>
    where
        H: HandlerShape<Args> + IntoHandler<Args>,
        L: Layer<CatchPanic<H::Handler>, Service: Handler>,
    {
        let _ended = control::Ended(Arc::clone(&self.shared));
        let handler = self.assemble(handler).map_err(WorkerError::start)?;
        control::run(self.shared, self.settings, handler).await
    }

    /// Takes its handler, to be run later: workers of one type, whatever their handlers and layers are. A
    /// [`Supervisor`](crate::Supervisor) runs such workers.
    pub fn ready<H, Args>(self, handler: H) -> ReadyWorker
    where
        H: IntoHandler<Args>,
        L: Layer<CatchPanic<H::Handler>, Service: Handler>,
    {
        let (handle, handler) = (self.handle(), self.assemble(handler));
        let Self { shared, mut settings, .. } = self;
        ReadyWorker::new(handle, move |signals| async move {
            let _ended = control::Ended(Arc::clone(&shared));
            settings.signals = signals.unwrap_or(settings.signals);
            control::run(shared, settings, handler.map_err(WorkerError::start)?).await
        })
    }

    /// The handler with its arguments and layers.
    fn assemble<H, Args>(&self, handler: H) -> Result<Arc<L::Service>>
    where
        H: IntoHandler<Args>,
        L: Layer<CatchPanic<H::Handler>>,
    {
        let context = Context::of_worker(self.states.clone(), self.handle());
        let handler = handler.into_handler(&context)?;
        Ok(Arc::new(self.layer.layer(CatchPanic::new(handler))))
    }
}
