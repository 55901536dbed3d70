//! Receiving: one call at a time, held across turns, with pauses after errors of the broker.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tracing::warn;

use super::report::StopReason;
use super::shared::Shared;
use crate::backoff::Backoff;
use crate::contract::MessageProvider;
use crate::delivery::Delivery;
use crate::error::{ErrorKind, Result};

/// The call that waits for deliveries.
pub(super) struct Intake {
    shared: Arc<Shared>,
    wait: Duration,
    give_up_after: Option<Duration>,
    backoff: Backoff,
    call: Option<BoxFuture<'static, Result<Vec<Delivery>>>>,
}

impl Intake {
    /// Waits for this long before it reports that nothing has arrived.
    pub(super) fn new(shared: Arc<Shared>, wait: Duration, give_up_after: Option<Duration>) -> Self {
        Self { shared, wait, give_up_after, backoff: Backoff::default(), call: None }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.call.is_some()
    }

    /// Begins to wait for at most this many.
    pub(super) fn ask(&mut self, max: NonZeroUsize) {
        let provider = Arc::clone(&self.shared.provider);
        self.call = Some(Box::pin(receive(provider, max, self.wait, None)));
    }

    /// Waits no more; nothing is lost by it.
    pub(super) fn drop_call(&mut self) {
        self.call = None;
    }

    /// What has arrived: empty after a wait without deliveries, `None` after an error. Pends while nobody asks.
    ///
    /// Cancel safe: the call stays.
    pub(super) async fn arrived(&mut self) -> Option<Vec<Delivery>> {
        let Some(call) = &mut self.call else { return std::future::pending().await };
        let result = call.await;
        self.call = None;
        let error = match result {
            Ok(deliveries) => {
                self.shared.received();
                self.backoff.reset();
                return Some(deliveries);
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Closed {
            self.shared.stop(StopReason::Closed);
            return None;
        }
        let since = self.shared.failed(&error);
        if !error.is_temporary() || self.give_up_after.is_some_and(|limit| since.elapsed() >= limit) {
            self.shared.stop(StopReason::Broker(error));
            return None;
        }
        self.shared.counters.broker_errors.add(1);
        let pause = self.backoff.next_delay();
        warn!(queue = self.shared.provider.queue(), %error, ?pause, "the broker failed; going on after a pause");
        let provider = Arc::clone(&self.shared.provider);
        // One is enough to see whether the broker is back.
        self.call = Some(Box::pin(receive(provider, NonZeroUsize::MIN, self.wait, Some(pause))));
        None
    }
}

async fn receive(
    provider: Arc<dyn MessageProvider>,
    max: NonZeroUsize,
    wait: Duration,
    pause: Option<Duration>,
) -> Result<Vec<Delivery>> {
    if let Some(pause) = pause {
        sleep(pause).await;
    }
    provider.receive(max, wait).await
}
