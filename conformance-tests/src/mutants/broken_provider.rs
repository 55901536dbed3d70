//! Providers that receive, stop and close in broken ways.

use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarrot_core::{
    Broker, Delivery, ErrorKind, MessageProvider, Outcome, Receipt, Result, SettleError, Settlement, async_trait,
};
use tokio::time::Instant;

use super::wrap::{ProviderMutant, Wrapped};

/// A mutant with the provider it wraps, and state that begins empty.
macro_rules! provider_mutant {
    ($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })? => $wrap:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name {
            inner: Arc<dyn MessageProvider>,
            $($($field: $type,)*)?
        }

        pub(super) fn $wrap(inner: Arc<dyn MessageProvider>, _: &Arc<dyn Broker>) -> Arc<dyn MessageProvider> {
            Arc::new(Wrapped($name { inner, $($($field: <$type>::default(),)*)? }))
        }
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

provider_mutant!(
    /// Loses what it has taken when the receive is dropped.
    IgnoresCancel => loses_what_a_dropped_receive_took
);

#[async_trait]
impl ProviderMutant for IgnoresCancel {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let taken = self.inner.receive(max, wait).await?;
        // Here it may be dropped, with all that it took.
        tokio::task::yield_now().await;
        Ok(taken)
    }
}

provider_mutant!(
    /// Hands everything out a second time.
    RedeliversTwice { again: Mutex<VecDeque<Delivery>> } => hands_out_twice
);

#[async_trait]
impl ProviderMutant for RedeliversTwice {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let again: Vec<_> = {
            let mut again = lock(&self.again);
            let count = again.len().min(max.get());
            again.drain(..count).collect()
        };
        if !again.is_empty() {
            return Ok(again);
        }
        let taken = self.inner.receive(max, wait).await?;
        lock(&self.again).extend(taken.iter().cloned());
        Ok(taken)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let settled = self.inner.settle(settlements).await;
        // The second of the two is settled already; nobody is told.
        match settled {
            Err(error) if error.is_all(ErrorKind::Stale) => Ok(()),
            settled => settled,
        }
    }
}

provider_mutant!(
    /// Does not wait.
    DoesNotWait => does_not_wait_for_messages
);

#[async_trait]
impl ProviderMutant for DoesNotWait {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        self.inner.receive(max, wait / 10).await
    }
}

provider_mutant!(
    /// Waits until it has as many as it was asked for.
    WaitsForAll { partial: Mutex<Vec<Delivery>> } => waits_for_a_full_batch
);

#[async_trait]
impl ProviderMutant for WaitsForAll {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let end = Instant::now() + wait;
        loop {
            let missing = max.get().saturating_sub(lock(&self.partial).len());
            let rest = end.saturating_duration_since(Instant::now());
            let Some(missing) = NonZeroUsize::new(missing).filter(|_| !rest.is_zero()) else {
                let mut partial = lock(&self.partial);
                let count = partial.len().min(max.get());
                return Ok(partial.drain(..count).collect());
            };
            let more = self.inner.receive(missing, rest).await?;
            lock(&self.partial).extend(more);
        }
    }
}

provider_mutant!(
    /// Polls at long intervals instead of waiting.
    PollsSlowly => polls_every_three_seconds
);

#[async_trait]
impl ProviderMutant for PollsSlowly {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let end = Instant::now() + wait;
        loop {
            let taken = self.inner.receive(max, Duration::ZERO).await?;
            let rest = end.saturating_duration_since(Instant::now());
            if !taken.is_empty() || rest.is_zero() {
                return Ok(taken);
            }
            tokio::time::sleep(rest.min(Duration::from_secs(3))).await;
        }
    }
}

provider_mutant!(
    /// Keeps the prefetch that it began with.
    KeepsPrefetch => ignores_a_new_prefetch
);

#[async_trait]
impl ProviderMutant for KeepsPrefetch {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn set_prefetch(&self, _: NonZeroU16) -> Result<()> {
        Ok(())
    }
}

provider_mutant!(
    /// Fetches in advance, and does not give that back when it is told to stop.
    HoardsAtStop { hoard: Mutex<VecDeque<Delivery>>, stopped: AtomicBool } => keeps_the_prefetched_at_stop
);

#[async_trait]
impl ProviderMutant for HoardsAtStop {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        if self.stopped.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        if lock(&self.hoard).is_empty() {
            let ten = NonZeroUsize::new(10).unwrap_or(max);
            let more = self.inner.receive(ten, wait).await?;
            lock(&self.hoard).extend(more);
        }
        let mut hoard = lock(&self.hoard);
        let count = hoard.len().min(max.get());
        Ok(hoard.drain(..count).collect())
    }

    async fn stop(&self) -> Result<()> {
        self.stopped.store(true, Ordering::SeqCst);
        Ok(())
    }
}

provider_mutant!(
    /// Does not go on after a pause.
    StopsAtPause => pauses_for_ever
);

#[async_trait]
impl ProviderMutant for StopsAtPause {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn pause(&self) -> Result<()> {
        self.inner.stop().await
    }
}

provider_mutant!(
    /// Keeps what is unsettled when it is closed.
    KeepsAtClose { closed: AtomicBool } => keeps_the_unsettled_at_close
);

#[async_trait]
impl ProviderMutant for KeepsAtClose {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn close(&self) -> Result<()> {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // Nobody drops it any more, so it holds what it holds.
            std::mem::forget(Arc::clone(&self.inner));
            self.inner.stop().await?;
        }
        Ok(())
    }
}

provider_mutant!(
    /// Does not say that it is closed.
    SilentAfterClose => says_nothing_after_close
);

#[async_trait]
impl ProviderMutant for SilentAfterClose {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        match self.inner.receive(max, wait).await {
            Err(error) if error.kind() == ErrorKind::Closed => Ok(Vec::new()),
            received => received,
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        match self.inner.settle(settlements).await {
            Err(error) if error.is_all(ErrorKind::Closed) => Ok(()),
            settled => settled,
        }
    }
}

provider_mutant!(
    /// Says that it cannot be closed twice.
    ClosesOnce { closed: AtomicBool } => fails_at_the_second_close
);

#[async_trait]
impl ProviderMutant for ClosesOnce {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Err(swarrot_core::Error::new(ErrorKind::Closed, "it is closed"));
        }
        self.inner.close().await
    }
}

provider_mutant!(
    /// Goes deaf when the connection breaks: no error, no message, ever again.
    DeafAfterError { deaf: AtomicBool } => goes_deaf_when_the_connection_breaks
);

#[async_trait]
impl ProviderMutant for DeafAfterError {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        if !self.deaf.load(Ordering::SeqCst) {
            match self.inner.receive(max, wait).await {
                Err(_) => self.deaf.store(true, Ordering::SeqCst),
                received => return received,
            }
        }
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
    }
}

provider_mutant!(
    /// Gives up for good when the connection breaks.
    FatalAfterError => gives_up_when_the_connection_breaks
);

#[async_trait]
impl ProviderMutant for FatalAfterError {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        self.inner
            .receive(max, wait)
            .await
            .map_err(|_| swarrot_core::Error::new(ErrorKind::Broker, "the connection broke"))
    }
}

provider_mutant!(
    /// Drops what has no id of ours, or no headers that it can read.
    DropsForeign => drops_foreign_messages
);

#[async_trait]
impl ProviderMutant for DropsForeign {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let (ours, foreign): (Vec<_>, Vec<_>) =
            self.inner.receive(max, wait).await?.into_iter().partition(|delivery| !delivery.id().is_empty());
        for delivery in foreign {
            let ack = Settlement::new(delivery.receipt(), Outcome::Ack);
            self.inner.settle(&[ack]).await.map_err(|error| error.into_failures().remove(0).1)?;
        }
        Ok(ours)
    }
}

provider_mutant!(
    /// Leaves leases as they are.
    ExtendsNothing => does_not_extend_leases
);

#[async_trait]
impl ProviderMutant for ExtendsNothing {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    async fn extend(&self, _: &[Receipt]) -> Result<(), SettleError> {
        Ok(())
    }
}

/// Starts a task for each provider, and never ends it.
pub(super) fn leaks_a_task(inner: Arc<dyn MessageProvider>, _: &Arc<dyn Broker>) -> Arc<dyn MessageProvider> {
    tokio::spawn(std::future::pending::<()>());
    inner
}
