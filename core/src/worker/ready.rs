//! A worker with its handler.

use std::fmt;
use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::signals::Signals;
use super::{Report, WorkerError, WorkerHandle};

/// A worker with its handler, ready to run, whatever their types are: what a [`Supervisor`](crate::Supervisor) runs, or what
/// stands in a list with others.
#[must_use = "a worker does nothing until it is run"]
pub struct ReadyWorker {
    handle: WorkerHandle,
    run: Run,
}

/// Runs it; with these signals in place of its own.
type Run = Box<dyn FnOnce(Option<Signals>) -> BoxFuture<'static, Result<Report, WorkerError>> + Send>;

impl ReadyWorker {
    pub(super) fn new<Fut>(handle: WorkerHandle, run: impl FnOnce(Option<Signals>) -> Fut + Send + 'static) -> Self
    where
        Fut: Future<Output = Result<Report, WorkerError>> + Send + 'static,
    {
        Self { handle, run: Box::new(move |signals| run(signals).boxed()) }
    }

    /// A handle to stop and look at the worker from elsewhere.
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Runs, as [`Worker::run`](super::Worker::run) does.
    ///
    /// # Errors
    /// As [`Worker::run`](super::Worker::run).
    ///
    /// # Cancel safety
    /// As [`Worker::run`](super::Worker::run).
    pub async fn run(self) -> Result<Report, WorkerError> {
        (self.run)(None).await
    }

    /// Runs; whoever runs it listens for signals.
    pub(crate) async fn run_without_signals(self) -> Result<Report, WorkerError> {
        (self.run)(Some(Signals::Off)).await
    }
}

impl fmt::Debug for ReadyWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyWorker").field("handle", &self.handle).finish_non_exhaustive()
    }
}
