//! Where deliveries come from.
//!
//! In reading order: the provider and what its parts share; who asks for deliveries, and what is held; the task that reads; how
//! deliveries are settled.

mod demand;
mod held;
mod mark;
mod reader;
mod session;
mod settle;
mod upkeep;

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarrot_core::{
    Capabilities, ConnectionState, DeadLetter, Delivery, Error, ErrorKind, MessageProvider, ProviderOptions, Receipt,
    Result, SettleError, Settlement, async_trait,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use self::demand::{Asking, Demand};
use self::held::Held;
use self::mark::Mark;
use crate::broker::Core;
use crate::error::{self, Named as _};
use crate::scripts;
use crate::topology::QueueKeys;

/// How long a stop waits for the reader to end its read; longer only if the connection is dead.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A provider of one queue. Dropped without being closed, it gives back what it holds as long as its runtime lives.
#[derive(Debug)]
pub(crate) struct RedisProvider(Arc<Shared>);

/// What a provider and its reader share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Arc<Core>,
    queue: Arc<str>,
    keys: QueueKeys,
    /// The provider's name for the server; it ends with how long its deliveries are to be left to it.
    me: String,
    dead_letter: DeadLetter,
    state: Mutex<State>,
    /// Wakes calls of `receive`.
    arrived: Notify,
    /// Wakes the reader: there may be room, or it has to stop.
    changed: Notify,
    /// Whether the reader runs.
    running: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    prefetch: usize,
    held: Held,
    demand: Demand,
    phase: Phase,
    mark: Mark,
    connection: ConnectionState,
    /// What went wrong, for the next `receive`.
    error: Option<Error>,
    /// What the queue's declaration says.
    limit: Option<u32>,
    parks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Receives.
    Open,
    /// Receives no more.
    Stopped,
    /// Nothing works any more.
    Closed,
}

impl RedisProvider {
    pub(crate) async fn new(core: &Arc<Core>, queue: &str, options: &ProviderOptions) -> Result<Self> {
        let keys = QueueKeys::new(&core.config.prefix, queue);
        let exists: bool = core.settle.command(redis::cmd("EXISTS").arg(&keys.queue)).await?;
        if !exists {
            return Err(error::queue_not_found(queue));
        }
        let hold = core.config.hold;
        let me = format!("{}.{}~{}", core.consumer, Uuid::now_v7().simple(), hold.as_millis());
        let state = State {
            prefetch: options.prefetch.get().into(),
            held: Held::new(hold),
            demand: Demand::new(core.config.lease),
            phase: Phase::Open,
            mark: Mark::default(),
            connection: ConnectionState::Connected,
            error: None,
            limit: None,
            parks: true,
        };
        let shared = Shared {
            core: Arc::clone(core),
            queue: queue.into(),
            keys,
            me,
            dead_letter: options.dead_letter,
            state: Mutex::new(state),
            arrived: Notify::new(),
            changed: Notify::new(),
            running: watch::Sender::new(false),
        };
        Ok(Self(Arc::new(shared)))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    /// Locks the state. Nobody waits while holding it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Goes on to this phase, unless it is there or further.
    fn advance(&self, phase: Phase) {
        {
            let mut state = self.lock();
            state.phase = state.phase.max(phase);
            if phase == Phase::Closed {
                state.connection = ConnectionState::Closed;
            }
        }
        self.arrived.notify_waiters();
        self.changed.notify_one();
    }

    /// Starts the reader, unless it runs.
    fn start(self: &Arc<Self>) {
        let started = self.running.send_if_modified(|running| !std::mem::replace(running, true));
        if started {
            let mut state = self.lock();
            if state.phase != Phase::Closed {
                state.connection = ConnectionState::Connecting;
            }
            drop(state);
            tokio::spawn(reader::run(Arc::clone(self)));
        }
    }

    /// What a read brings that is under way goes back when it has ended.
    async fn pause(&self) -> Result<()> {
        if !self.lock().demand.end() {
            return Ok(());
        }
        self.changed.notify_one();
        self.give_back(false).await
    }

    async fn stop(&self) -> Result<()> {
        self.advance(Phase::Stopped);
        let mut running = self.running.subscribe();
        let ended = timeout(STOP_WAIT, running.wait_for(|running| !running)).await.is_ok();
        // Also if the reader hangs: what it reads from now on comes back when its lease ends.
        self.give_back(false).await?;
        if ended { Ok(()) } else { Err(Error::new(ErrorKind::Timeout, "the server did not end a read in time")) }
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.advance(Phase::Closed);
        let stopped = self.stop().await;
        let given_back = self.give_back(true).await;
        let mut leave = scripts::LEAVE.prepare_invoke();
        leave.key(&self.keys.stream).key(&self.keys.wake).arg(&self.me);
        // With its queue gone there is nothing to leave.
        let left = self.core.settle.ask::<i64>(&leave).await;
        stopped.and(given_back).and(left.map(drop).or_else(|e| if lost_queue(&e) { Ok(()) } else { Err(e) }))
    }
}

/// Whether an error says that the queue's stream or group is not there.
fn lost_queue(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<redis::RedisError>());
    source.is_some_and(|source| matches!(source.code(), Some("NOGROUP" | "UNBLOCKED")) || no_such_key(source))
}

fn no_such_key(error: &redis::RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("no such key"))
}

#[async_trait]
impl MessageProvider for RedisProvider {
    fn queue(&self) -> &str {
        &self.0.queue
    }

    fn capabilities(&self) -> Capabilities {
        self.0.core.capabilities()
    }

    fn connection(&self) -> ConnectionState {
        self.0.lock().connection
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        {
            let mut state = self.0.lock();
            if state.phase == Phase::Closed {
                return Err(error::closed("provider")).named("set prefetch", &self.0.queue);
            }
            state.prefetch = prefetch.get().into();
        }
        self.0.changed.notify_one();
        Ok(())
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        // With a full buffer nothing here waits; without this a busy worker would starve the other tasks.
        consume_budget().await;
        let shared = &self.0;
        // A wait that no clock can measure never ends.
        let deadline = Instant::now().checked_add(wait);
        let _asking = Asking::begin(shared);
        loop {
            let mut arrived = std::pin::pin!(shared.arrived.notified());
            // From here on nothing that happens is missed.
            arrived.as_mut().enable();
            {
                let mut state = shared.lock();
                match state.phase {
                    Phase::Closed => return Err(error::closed("provider")).named("receive", &shared.queue),
                    Phase::Stopped => return Ok(Vec::new()),
                    Phase::Open => {}
                }
                let deliveries = state.held.hand_out(max.get(), Instant::now());
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
                if let Some(error) = state.error.take() {
                    return Err(error).named("receive", &shared.queue);
                }
            }
            shared.start();
            match deadline {
                None => arrived.await,
                Some(at) => {
                    if timeout_at(at, arrived).await.is_err() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        consume_budget().await;
        SettleError::check(self.0.settle(settlements).await)
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        SettleError::check(self.0.extend(receipts).await)
    }

    async fn pause(&self) -> Result<()> {
        self.0.pause().await.named("pause", &self.0.queue)
    }

    async fn stop(&self) -> Result<()> {
        self.0.stop().await.named("stop", &self.0.queue)
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await.named("close", &self.0.queue)
    }
}

impl Drop for RedisProvider {
    fn drop(&mut self) {
        let closed = self.0.phase() == Phase::Closed;
        self.0.advance(Phase::Closed);
        if !closed && let Ok(runtime) = Handle::try_current() {
            let shared = Arc::clone(&self.0);
            runtime.spawn(async move { drop(shared.close().await) });
        }
    }
}
