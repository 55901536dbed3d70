//! Workers that run beside a case.

use std::panic::Location;

use swarrot_core::{Report, WorkerError, WorkerHandle};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

/// A worker on a task of its own.
#[derive(Debug)]
pub(crate) struct Running {
    handle: WorkerHandle,
    task: JoinHandle<Result<Report, WorkerError>>,
}

impl Running {
    /// Starts it; `run` is the worker's own.
    pub(crate) fn start(
        handle: WorkerHandle,
        run: impl Future<Output = Result<Report, WorkerError>> + Send + 'static,
    ) -> Self {
        Self { handle, task: tokio::spawn(run) }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> &WorkerHandle {
        &self.handle
    }

    /// Tells it to stop, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(self) -> impl Future<Output = Report> + Send {
        self.handle.stop();
        self.ends()
    }

    /// Waits until it stops by itself.
    #[track_caller]
    pub(crate) fn ends(self) -> impl Future<Output = Report> + Send {
        let at = Location::caller();
        async move {
            let Ok(ended) = timeout(PATIENCE * 2, self.task).await else {
                panic!("{at}: the worker did not stop; {:?}", self.handle.health());
            };
            let result = ended.unwrap_or_else(|error| panic!("{at}: the worker panicked: {error}"));
            result.unwrap_or_else(|error| panic!("{at}: the worker failed: {error:?}"))
        }
    }
}
