//! Several workers, run together and restarted when they fail.

mod handle;
mod keeper;
mod report;
mod shared;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tracing::info;

pub use self::handle::{SupervisedHealth, SupervisedState, SupervisorHandle, SupervisorHealth};
use self::keeper::keep;
pub use self::report::{SupervisedReport, SupervisorError, SupervisorReport};
use self::shared::{Ended, Shared};
use crate::error::BoxError;
use crate::worker::{ReadyWorker, SignalListener, Signals, StopReason};

/// Runs several workers together, restarts those that fail, and stops them together.
///
/// A worker that ends in an error, of its broker, its handler under
/// [`stop_on_error`](crate::Worker::stop_on_error) or a panic, is made anew after a pause and run again; so is one that could not be made. One that ends because
/// it was told to, by a limit or its own handle, stays ended, unless [`restart_on_limit`](Self::restart_on_limit) says otherwise.
/// It ends once all workers have.
///
/// # Stopping
/// One listener for the signals of the process stands for all workers: the first signal, or [`SupervisorHandle::stop`], stops
/// all of them as it would [stop one](crate::Worker#stopping); each has the deadline that it was given. A second one cancels all
/// handlers, a third ends the process. Nothing is restarted any more.
///
/// ```
/// use swarrot_core::{BoxError, Broker, ProviderOptions, Supervisor, Worker};
/// use std::sync::Arc;
///
/// async fn run(broker: Arc<dyn Broker>) -> Result<(), BoxError> {
///     let mails = move || {
///         let broker = Arc::clone(&broker);
///         async move {
///             let provider = broker.provider("mails", ProviderOptions::default()).await?;
///             Ok::<_, BoxError>(Worker::new(provider).concurrency(8).ready(async || println!("a mail")))
///         }
///     };
///     let report = Supervisor::new().worker("mails", mails).run().await?;
///     println!("{report}");
///     Ok(())
/// }
/// ```
#[must_use = "a supervisor does nothing until it is run"]
#[derive(Debug)]
pub struct Supervisor {
    makers: Vec<(String, Maker)>,
    settings: Settings,
    shared: Arc<Shared>,
}

/// Makes a worker for one run.
#[derive(Clone)]
struct Maker(Arc<dyn Fn() -> BoxFuture<'static, Result<ReadyWorker, BoxError>> + Send + Sync>);

#[derive(Clone, Copy, Debug)]
struct Settings {
    first_pause: Duration,
    max_pause: Duration,
    healthy_after: Duration,
    restart_on_limit: bool,
    max_restarts: Option<(u32, Duration)>,
    signals: Signals,
}

impl Supervisor {
    /// Without workers as yet.
    pub fn new() -> Self {
        let settings = Settings {
            first_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(60),
            healthy_after: Duration::from_secs(60),
            restart_on_limit: false,
            max_restarts: None,
            signals: Signals::default(),
        };
        Self { makers: Vec::new(), settings, shared: Arc::default() }
    }

    /// Adds a worker by its name. `make` makes it for each run anew, with a provider of its own, since the run closes it; connect
    /// once, outside, if the connection mends itself, as those of swarrot do.
    pub fn worker<F, Fut, E>(mut self, name: impl Into<String>, make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ReadyWorker, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.makers.push((name.into(), Maker::new(make)));
        self
    }

    /// Adds several workers that are made alike: `mails 1`, `mails 2` and so on.
    pub fn workers<F, Fut, E>(mut self, name: &str, count: usize, make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ReadyWorker, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let maker = Maker::new(make);
        self.makers.extend((1..=count).map(|number| (format!("{name} {number}"), maker.clone())));
        self
    }

    /// Sets how long it waits before it restarts a worker that has failed: a time between nothing and a limit that doubles with
    /// each failure, from `first` up to `max`: from 1 s to a minute.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        (self.settings.first_pause, self.settings.max_pause) = (first, max.max(first));
        self
    }

    /// Sets how long a worker has to run for its next failure to count as the first: a minute.
    pub fn healthy_after(mut self, run: Duration) -> Self {
        self.settings.healthy_after = run;
        self
    }

    /// Restarts a worker, at once, that has ended by [`max_messages`](crate::Worker::max_messages) or
    /// [`max_time`](crate::Worker::max_time): against what piles up in connections, pools and states that are made for each run.
    /// Not by [`max_memory`](crate::Worker::max_memory): what has leaked is the process's, and goes only with it.
    pub fn restart_on_limit(mut self) -> Self {
        self.settings.restart_on_limit = true;
        self
    }

    /// Gives up once there would be more restarts after failures than this within a time, all workers together: all are stopped,
    /// and the supervisor ends with the error. Unless told, it never gives up.
    pub fn max_restarts(mut self, restarts: u32, within: Duration) -> Self {
        self.settings.max_restarts = Some((restarts, within));
        self
    }

    /// Leaves the process's signals alone.
    pub fn signals_off(mut self) -> Self {
        self.settings.signals = Signals::Off;
        self
    }

    /// A handle to stop and look at the workers from elsewhere.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle::new(Arc::clone(&self.shared))
    }

    /// Runs until all workers have ended.
    ///
    /// # Errors
    /// If it gives up, by [`max_restarts`](Self::max_restarts); if it cannot listen for signals.
    ///
    /// # Cancel safety
    /// Dropping the future cancels all workers, as dropping the future of a [`Worker`](crate::Worker::run) does.
    pub async fn run(self) -> Result<SupervisorReport, SupervisorError> {
        let Self { makers, settings, shared } = self;
        let listener = SignalListener::new(settings.signals).map_err(SupervisorError::start)?;
        let ended = Ended(Arc::clone(&shared));
        shared.begin(makers.iter().map(|(name, _)| name.clone()));
        info!(workers = makers.len(), "supervisor started");
        let slots = shared.slots().into_iter();
        let keepers = slots.zip(makers).map(|(slot, (_, maker))| keep(Arc::clone(&shared), slot, maker, settings));
        let failures = tokio::select! {
            biased;
            never = listener.escalate(
                |name| shared.stop(StopReason::Signal(name)),
                || shared.cancel(),
            ) => match never {},
            failures = join_all(keepers) => failures,
        };
        drop(ended);
        let report = shared.report();
        info!(elapsed = ?report.elapsed, "supervisor stopped");
        match failures.into_iter().flatten().next() {
            None => Ok(report),
            Some((worker, source)) => Err(SupervisorError::gave_up(report, worker, source)),
        }
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Maker {
    fn new<F, Fut, E>(make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ReadyWorker, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move || {
            let making = make();
            async move { making.await.map_err(Into::into) }.boxed()
        }))
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}
