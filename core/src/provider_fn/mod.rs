//! A provider from an async closure.

mod held;

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use self::held::Held;
use crate::contract::{Capabilities, ConnectionState, MessageProvider, ProviderOptions, RequeuePosition};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Panicked;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::settlement::{SettleError, Settlement};

/// A provider whose messages come from an async closure: for tests, for work by the clock, and for sources that are no
/// brokers.
///
/// The closure is called for one message after the other, when a worker has room for it, never twice at once. It answers
/// `Some` with a message, `None` once there are no more, or an error, after which the worker calls it again if the error
/// is temporary.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::{Message, Worker, provider_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), swarrot_core::BoxError> {
/// // Three times, once an hour.
/// let mut hours = 0;
/// let every_hour = provider_fn("every-hour", move || {
///     hours += 1;
///     let hour = hours;
///     async move {
///         tokio::time::sleep(Duration::from_secs(3600)).await;
///         Ok((hour <= 3).then(|| Message::new(format!("hour {hour}"))))
///     }
/// });
/// let clean_up = async |hour: String| println!("cleaning up at {hour}");
/// let report = Worker::new(std::sync::Arc::new(every_hour)).max_messages(3).run(clean_up).await?;
/// assert_eq!(report.counts.acked, 3);
/// # Ok(())
/// # }
/// ```
///
/// It has no broker behind it: what is retried, requeued or released comes again from this process's memory, so what is not
/// settled is lost with the process; [`Outcome::Retry`] works only at once, without a delay; what is rejected is
/// dropped. [`on_settle`](FnProvider::on_settle) tells the source what became of each message.
///
/// # Cancel safety
/// The closure's future outlives a [`receive`](MessageProvider::receive) that is dropped or has waited long enough; the
/// next one goes on with it. It is dropped when the provider is closed.
pub fn provider_fn<F, Fut>(queue: impl Into<String>, next: F) -> FnProvider
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<Message>>> + Send + 'static,
{
    let mut next = next;
    FnProvider {
        queue: queue.into().into(),
        held: Mutex::new(Held::new(ProviderOptions::default().prefetch)),
        changed: Notify::new(),
        source: tokio::sync::Mutex::new(Source { next: Box::new(move || guarded(&mut next)), call: None }),
        on_settle: None,
    }
}

/// A provider made by [`provider_fn`].
pub struct FnProvider {
    queue: Arc<str>,
    held: Mutex<Held>,
    /// Something has come back, or it was stopped.
    changed: Notify,
    source: tokio::sync::Mutex<Source>,
    on_settle: Option<OnSettle>,
}

type NextMessage = BoxFuture<'static, Result<Option<Message>>>;
type OnSettle = Box<dyn Fn(Delivery, Outcome) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Calls the user's code. A panic of it is an error: it must not end the worker's loop with all that is in flight there.
fn guarded<T, Fut>(call: impl FnOnce() -> Fut) -> BoxFuture<'static, Result<T>>
where
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let failed = |panicked: Panicked| {
        let what = format!("the function of the provider panicked: {}", panicked.text());
        Err(Error::new(ErrorKind::Broker, what))
    };
    let called = Panicked::catch(call);
    async move {
        match called {
            Ok(future) => match AssertUnwindSafe(future).catch_unwind().await {
                Ok(result) => result,
                Err(panic) => failed(Panicked::of(&*panic)),
            },
            Err(panicked) => failed(panicked),
        }
    }
    .boxed()
}

/// The closure, and its future while it waits for a message.
struct Source {
    next: Box<dyn FnMut() -> NextMessage + Send>,
    call: Option<NextMessage>,
}

impl FnProvider {
    /// Calls this with each delivery that is settled and its outcome, before the settlement counts. If it fails, the
    /// delivery is still held, and the worker settles it again. It may be called twice for one settlement, where the first
    /// call was cancelled.
    ///
    /// What has not come to an end when the provider is stopped or closed is told as [`Outcome::Release`]: it is the
    /// source's again, and an error of the call is only logged.
    pub fn on_settle<F, Fut>(mut self, settle: F) -> Self
    where
        F: Fn(Delivery, Outcome) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.on_settle = Some(Box::new(move |delivery, outcome| guarded(|| settle(delivery, outcome))));
        self
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, operation: &'static str, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, what).with_operation(operation).with_target(&*self.queue)
    }

    /// Waits for the next message of the source, and keeps it. Pends once the source has ended.
    async fn fetch(&self) -> Result<()> {
        let mut source = self.source.lock().await;
        if self.held().ended {
            std::future::pending::<()>().await;
        }
        let Source { next, call } = &mut *source;
        let result = call.get_or_insert_with(next).await;
        *call = None;
        let named = |error: Error| error.with_operation("receive").with_target(&*self.queue);
        match result.map_err(named)? {
            Some(message) => self.held().arrived(&self.queue, message),
            None => self.held().ended = true,
        }
        Ok(())
    }

    /// Whether more may be fetched for a call that wants so many.
    fn has_room_for(&self, max: NonZeroUsize) -> bool {
        let held = self.held();
        held.ready() < max.get() && held.has_room()
    }

    /// Tells the source what is its own again: what waits to be handed out, and what is not settled too once it is closed.
    async fn give_back(&self, unsettled: bool) {
        loop {
            let Some(delivery) = self.held().left(unsettled) else { return };
            let receipt = delivery.receipt();
            if let Some(tell) = &self.on_settle
                && let Err(error) = tell(delivery, Outcome::Release).await
            {
                warn!(queue = &*self.queue, ?receipt, %error, "the source did not take a message back");
            }
            self.held().forget(receipt);
        }
    }

    async fn settle_one(&self, settlement: &Settlement) -> Result<()> {
        let Settlement { receipt, outcome } = settlement;
        if self.held().closed {
            return Err(self.error("settle", ErrorKind::Closed, "the provider is closed"));
        }
        let Some(settling) = Settling::begin(self, *receipt) else {
            return Err(self.error("settle", ErrorKind::Stale, "the delivery is not held any more"));
        };
        if let Outcome::Retry { after, .. } = outcome
            && !after.is_zero()
        {
            let what = "a provider made of a function has no delays; retry at once, or in place";
            return Err(self.error("settle", ErrorKind::Unsupported, what));
        }
        if let Some(tell) = &self.on_settle {
            tell(settling.delivery.clone(), outcome.clone()).await?;
        }
        self.held().settle(*receipt, outcome);
        // There is room for another, or this one comes again.
        self.changed.notify_waiters();
        Ok(())
    }
}

/// A delivery that is being settled. Unless that succeeds, it stays held.
struct Settling<'a> {
    provider: &'a FnProvider,
    delivery: Delivery,
}

impl<'a> Settling<'a> {
    fn begin(provider: &'a FnProvider, receipt: Receipt) -> Option<Self> {
        let delivery = provider.held().begin_settling(receipt)?;
        Some(Self { provider, delivery })
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.provider.held().leave(self.delivery.receipt());
    }
}

#[async_trait]
impl MessageProvider for FnProvider {
    fn queue(&self) -> &str {
        &self.queue
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ordered: true,
            delivery_count: true,
            requeue_position: RequeuePosition::Head,
            ..Capabilities::NONE
        }
    }

    fn connection(&self) -> ConnectionState {
        if self.held().closed { ConnectionState::Closed } else { ConnectionState::Connected }
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        self.held().prefetch = prefetch;
        self.changed.notify_waiters();
        Ok(())
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        // A source that never waits must not keep other tasks from running.
        consume_budget().await;
        // A wait that no clock can measure never ends.
        let deadline = Instant::now().checked_add(wait);
        loop {
            let changed = self.changed.notified();
            // What the source has ready is taken without waiting.
            while self.has_room_for(max)
                && let Some(fetched) = self.fetch().now_or_never()
            {
                if let Err(error) = fetched {
                    // It waits for its turn, behind what came before it.
                    self.held().failed = Some(error);
                }
            }
            {
                let mut held = self.held();
                if held.closed {
                    return Err(self.error("receive", ErrorKind::Closed, "the provider is closed"));
                }
                let deliveries = held.take(max.get());
                if !deliveries.is_empty() || held.stopped {
                    return Ok(deliveries);
                }
                if let Some(error) = held.failed.take() {
                    return Err(error);
                }
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(Vec::new());
            }
            let time_is_up = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                fetched = self.fetch(), if self.has_room_for(max) => fetched?,
                () = time_is_up => {}
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        consume_budget().await;
        let mut failures = Vec::new();
        for settlement in settlements {
            failures.extend(self.settle_one(settlement).await.err().map(|error| (settlement.receipt, error)));
        }
        SettleError::check(failures)
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        // Without leases there is nothing to extend, and nothing that is lost.
        let _ = receipts;
        Ok(())
    }

    async fn pause(&self) -> Result<()> {
        // Nothing is fetched but by a `receive`, and nobody else could have it.
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        self.held().stopped = true;
        self.changed.notify_waiters();
        self.give_back(false).await;
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        {
            let mut held = self.held();
            (held.stopped, held.closed) = (true, true);
        }
        self.changed.notify_waiters();
        // A call of `receive` that waits for it lets go of it at once. What it has brought by then is given back.
        self.source.lock().await.call = None;
        self.give_back(true).await;
        Ok(())
    }
}

impl fmt::Debug for FnProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnProvider").field("queue", &self.queue).finish_non_exhaustive()
    }
}
