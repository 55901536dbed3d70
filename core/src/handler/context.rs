//! What a worker knows that its handlers may ask for.

use std::any::{Any, type_name};
use std::future;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::provider_fn::provider_fn;
use crate::worker::{Worker, WorkerHandle};

/// What a worker knows that its handlers may ask for: shared values by type, and the worker's handle.
///
/// Every worker makes its own. One made with [`Context::new`] is for what runs without a worker: the test of an argument
/// of your own, or a function that becomes a handler elsewhere.
///
/// ```
/// use swarrot_core::{Attempt, Context, Delivery, FromDelivery, Handler, IntoHandler, Message, Outcome, Receipt, State};
///
/// async fn shout(State(suffix): State<&'static str>, text: String) -> Outcome {
///     if text.ends_with(*suffix) { Outcome::Ack } else { Outcome::reject("too quiet") }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), swarrot_core::BoxError> {
/// let context = Context::new().with_state("!");
/// let delivery = Delivery::new("calls", Receipt::new(0, 1), Message::new("hello!"));
/// assert_eq!(Attempt::from_delivery(&delivery, &context)?, Attempt(1));
/// assert_eq!(shout.into_handler(&context)?.handle(delivery).await?, Outcome::Ack);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    states: Extensions,
    worker: WorkerHandle,
}

impl Context {
    pub(crate) fn of_worker(states: Extensions, worker: WorkerHandle) -> Self {
        Self { states, worker }
    }

    /// A context without shared values, whose worker never runs.
    pub fn new() -> Self {
        let nothing = provider_fn("nothing", future::pending);
        Self::of_worker(Extensions::default(), Worker::new(Arc::new(nothing)).concurrency(usize::MAX).handle())
    }

    /// Adds a shared value; one for each type.
    pub fn with_state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.states.insert(Arc::new(state));
        self
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

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}
