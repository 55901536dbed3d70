//! What a worker knows that its handlers may ask for.

use std::any::{Any, type_name};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::worker::WorkerHandle;

/// What a worker knows that its handlers may ask for: shared values by type, and the worker's handle.
#[derive(Clone, Debug)]
pub struct Context {
    states: Extensions,
    worker: WorkerHandle,
}

impl Context {
    pub(crate) fn new(states: Extensions, worker: WorkerHandle) -> Self {
        Self { states, worker }
    }

    /// The value of this type that was given to [`Worker::state`](crate::Worker::state).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), with the call that is missing.
    pub fn state<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        self.states.get().ok_or_else(|| {
            let name = type_name::<T>();
            Error::new(
                ErrorKind::NotFound,
                format!("a handler asks for State<{name}>, but the worker has none; add .state(…) with a {name} itself, not in an Arc"),
            )
        })
    }

    /// The handle of the worker.
    pub fn worker(&self) -> &WorkerHandle {
        &self.worker
    }
}
