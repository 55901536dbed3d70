//! Several deliveries handled together.

mod function;
mod gather;
mod outcomes;

use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};

pub use self::function::{BatchFunction, BatchShape};
use self::gather::{Gather, Gathering, Member};
use self::outcomes::for_each;
pub use self::outcomes::{BatchFailed, IntoOutcomes};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::handler::{Context, FromDelivery, Handler, HandlerShape, IntoHandler};
use crate::layer::Panicked;
use crate::outcome::Outcome;

/// Handles several deliveries in one call: for a bulk insert, or an API that takes many at once.
///
/// The function's first argument is a `Vec` of what each delivery is made into, such as `Vec<Json<T>>` or
/// `Vec<(Delivery, Json<T>)>`, in the order of arrival; up to three more arguments are made from the worker ([`State`] and
/// such). A delivery that does not decode is an error of its own and does not get into the batch. The result is one for
/// all (`()`, an [`Outcome`]), or a `Vec` with one for each (of `()`, [`Outcome`] or `Result`s), or a `Result` of these.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::{Batch, BoxError, State};
///
/// struct Database;
/// impl Database {
///     async fn insert(&self, lines: &[String]) -> Result<(), BoxError> { Ok(()) }
/// }
///
/// async fn store(lines: Vec<String>, State(database): State<Database>) -> Result<(), BoxError> {
///     database.insert(&lines).await // all are acked, or all have failed
/// }
///
/// // Up to a hundred, or what has come within 50 ms after the first one.
/// let batch = Batch::new(100, Duration::from_millis(50), store);
/// // worker.concurrency(200).state(Database).run(batch)
/// ```
///
/// # How it fits the worker
/// Each delivery stays in flight in a slot of its own, which waits for its batch. So the worker's
/// [concurrency](crate::Worker::concurrency) is at least as large as a batch; twice as large, one batch gathers while
/// another one runs. A [prefetch](crate::Worker::prefetch) that is set by hand must allow for that too.
/// Layers around it work on each message alone: `Retry` retries those that failed, and a `Timeout` includes the time that
/// a batch takes to gather.
///
/// - An error is the error of every message of the batch, in the form of [`BatchFailed`]; a panic, of [`Panicked`].
/// - When the worker stops, a batch that is still gathering is handled at once; it has the worker's deadline.
/// - A message whose slot is cancelled, by a layer or because its lease is lost, leaves a batch that is still gathering.
///   One that is already handled goes on for the others. Once all of a batch are cancelled, so is its function.
///
/// # Cost
/// Each batch runs on a task of its own, which keeps it alive whichever slot is cancelled: one spawn and a few
/// allocations for each batch, and one allocation for each message.
///
/// [`State`]: crate::State
pub struct Batch<F, Args> {
    max: usize,
    wait: Duration,
    function: F,
    args: PhantomData<fn(Args)>,
}

impl<F, Args> Batch<F, Args>
where
    F: BatchShape<Args> + BatchFunction<Args>,
{
    /// Hands up to `max` deliveries at once to the function, or those that have come when `wait` has passed since the first
    /// one. A `max` of zero counts as one.
    pub fn new(max: usize, wait: Duration, function: F) -> Self {
        Self { max: max.max(1), wait, function, args: PhantomData }
    }
}

/// Marks a batch.
#[derive(Debug)]
pub struct InBatches;

impl<F, Args> HandlerShape<InBatches> for Batch<F, Args> {}

impl<F, Args> IntoHandler<InBatches> for Batch<F, Args>
where
    F: BatchFunction<Args>,
    Args: 'static,
{
    type Handler = BatchHandler<F, Args>;

    fn into_handler(self, context: &Context) -> Result<Self::Handler> {
        F::check(context)?;
        let (max, concurrency) = (self.max, context.worker().concurrency());
        if max > concurrency {
            let what = format!(
                "a batch of {max} never fills with a concurrency of {concurrency}; set .concurrency({max}) or more"
            );
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let call = Call { function: self.function, context: context.clone(), args: PhantomData };
        Ok(BatchHandler { max, wait: self.wait, call: Arc::new(call), gather: Arc::default() })
    }
}

impl<F, Args> fmt::Debug for Batch<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("max", &self.max).field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// A [`Batch`], bound to a worker's context.
pub struct BatchHandler<F: BatchFunction<Args>, Args> {
    max: usize,
    wait: Duration,
    call: Arc<Call<F, Args>>,
    gather: Arc<Gather<F::Item>>,
}

struct Call<F, Args> {
    function: F,
    context: Context,
    args: PhantomData<fn(Args)>,
}

impl<F, Args> Handler for BatchHandler<F, Args>
where
    F: BatchFunction<Args>,
    Args: 'static,
{
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let item = F::Item::from_delivery(&delivery, &self.call.context)?;
        drop(delivery);
        let seat = self.gather.join(item, self.full(), |gathering| {
            let (call, wait) = (Arc::clone(&self.call), self.wait);
            AbortOnDropHandle::new(tokio::spawn(async move { call.run(gathering, wait).await }))
        });
        // A batch that ends without an answer was dropped with its runtime.
        seat.answer().await.unwrap_or(Ok(Outcome::Release))
    }
}

impl<F: BatchFunction<Args>, Args> BatchHandler<F, Args> {
    /// How many are a full batch: no more than can be in flight at the moment.
    fn full(&self) -> usize {
        self.max.min(self.call.context.worker().concurrency())
    }
}

impl<F: BatchFunction<Args>, Args> Call<F, Args> {
    /// Waits for a batch, handles it, and answers everyone in it.
    async fn run(&self, gathering: Gathering<F::Item>, wait: Duration) {
        let members = gathering.members(wait, self.context.worker()).await;
        if members.is_empty() {
            return;
        }
        let span = info_span!("batch", messages = members.len());
        let (mut items, mut answers) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        for Member { item, answer, span: joined, .. } in members {
            span.follows_from(joined);
            items.push(item);
            answers.push(answer);
        }
        // Called within the future: the function may panic before its first await.
        let call = AssertUnwindSafe(async { self.function.call(items, &self.context).await });
        let result = call.catch_unwind().instrument(span).await;
        let results = for_each(result.map_err(|panic| Panicked::of(&*panic)), answers.len());
        for (answer, result) in answers.into_iter().zip(results) {
            // Nobody waits for it where the slot was cancelled.
            let _ = answer.send(result);
        }
    }
}

impl<F: BatchFunction<Args>, Args> fmt::Debug for BatchHandler<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchHandler").field("max", &self.max).field("wait", &self.wait).finish_non_exhaustive()
    }
}
