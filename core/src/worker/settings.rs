//! What a worker was told.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::WorkerHandle;
use super::gates::Gates;
use super::signals::Signals;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::message::Limits;
use crate::outcome::{Outcome, Reason};

/// What a worker was told.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the user's, not states")]
pub(super) struct Settings {
    pub(super) parallelism: usize,
    pub(super) spawned: bool,
    pub(super) prefetch: Option<NonZeroU16>,
    pub(super) gates: Gates,
    pub(super) max_messages: Option<u64>,
    pub(super) max_time: Option<Duration>,
    pub(super) max_memory: Option<u64>,
    pub(super) stop_when_empty: bool,
    pub(super) deadline: Duration,
    pub(super) give_up_after: Option<Duration>,
    pub(super) crash_limit: Option<u32>,
    pub(super) limits: Limits,
    pub(super) ack_first: bool,
    pub(super) stop_on_error: bool,
    pub(super) on_error: OnError,
    pub(super) signals: Signals,
    pub(super) hooks: Hooks,
}

/// Decides what becomes of a delivery whose handler failed.
pub(super) type OnError = Arc<dyn Fn(&Delivery, &BoxError) -> Outcome + Send + Sync>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallelism: 1,
            spawned: false,
            prefetch: None,
            gates: Gates::default(),
            max_messages: None,
            max_time: None,
            max_memory: None,
            stop_when_empty: false,
            deadline: Duration::from_secs(30),
            give_up_after: None,
            crash_limit: Some(20),
            limits: Limits::default(),
            ack_first: false,
            stop_on_error: false,
            on_error: Arc::new(|_, error| Outcome::Reject { reason: Reason::from_error(&**error) }),
            signals: Signals::default(),
            hooks: Hooks::default(),
        }
    }
}

impl Settings {
    /// How many unsettled deliveries the provider may hold: twice as many as are in flight, so that the next one is
    /// there when one is done.
    pub(super) fn prefetch_for(&self, concurrency: usize) -> NonZeroU16 {
        let twice = u16::try_from(concurrency.saturating_mul(2)).unwrap_or(u16::MAX);
        self.prefetch.or(NonZeroU16::new(twice)).unwrap_or(NonZeroU16::MIN)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("parallelism", &self.parallelism)
            .field("max_messages", &self.max_messages)
            .field("max_time", &self.max_time)
            .field("max_memory", &self.max_memory)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

type Hook = Arc<dyn Fn(WorkerHandle) -> BoxFuture<'static, ()> + Send + Sync>;

/// What runs when a worker starts, idles and has stopped.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) start: Vec<Hook>,
    pub(super) idle: Vec<Hook>,
    pub(super) stop: Vec<Hook>,
}

pub(super) fn hook<F, Fut>(f: F) -> Hook
where
    F: Fn(WorkerHandle) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |worker| f(worker).boxed())
}

/// Runs hooks one after the other.
pub(super) async fn run_hooks(hooks: &[Hook], worker: &WorkerHandle) {
    for hook in hooks {
        hook(worker.clone()).await;
    }
}
