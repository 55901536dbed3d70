//! Publishers that are broken in ways that take more than a hook.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swarrot_core::{Error, ErrorKind, MessagePublisher, Outgoing, Result, async_trait};

use super::wrap::{PublisherMutant, Wrapped};

macro_rules! publisher_mutant {
    ($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })? => $wrap:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name {
            inner: Arc<dyn MessagePublisher>,
            $($($field: $type,)*)?
        }

        pub(super) fn $wrap(inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
            Arc::new(Wrapped($name { inner, $($($field: <$type>::default(),)*)? }))
        }
    };
}

publisher_mutant!(
    /// Says `Ok` for the last message of a batch, and does not send it.
    LosesLast => loses_the_last_of_a_batch
);

#[async_trait]
impl PublisherMutant for LosesLast {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let kept = if batch.len() > 1 { &batch[..batch.len() - 1] } else { batch };
        let mut results = self.inner.publish(kept).await;
        results.resize_with(batch.len(), || Ok(()));
        results
    }
}

publisher_mutant!(
    /// Says `Ok` when it has sent, and not when the broker has it.
    FiresAndForgets => does_not_wait_for_confirms
);

#[async_trait]
impl PublisherMutant for FiresAndForgets {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let (inner, later) = (Arc::clone(&self.inner), batch.to_vec());
        tokio::spawn(async move { inner.publish(&later).await });
        batch.iter().map(|_| Ok(())).collect()
    }
}

publisher_mutant!(
    /// Sends each message twice, as one does that repeats without need.
    SendsTwice => sends_twice
);

#[async_trait]
impl PublisherMutant for SendsTwice {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        self.inner.publish(batch).await;
        self.inner.publish(batch).await
    }
}

publisher_mutant!(
    /// Gives up at the first message that fails: what follows is not tried.
    StopsAtFirstError => fails_the_rest_of_a_batch
);

#[async_trait]
impl PublisherMutant for StopsAtFirstError {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let mut results = Vec::new();
        for outgoing in batch {
            let failed: Option<Error> = results.iter().find_map(|result: &Result<()>| result.as_ref().err()).cloned();
            results.push(match failed {
                Some(error) => Err(error),
                None => self.inner.publish(std::slice::from_ref(outgoing)).await.remove(0),
            });
        }
        results
    }
}

publisher_mutant!(
    /// A dropped publish leaves it unusable.
    SpoiledByDrop { busy: AtomicBool } => spoiled_by_a_dropped_publish
);

#[async_trait]
impl PublisherMutant for SpoiledByDrop {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        if self.busy.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        let results = self.inner.publish(batch).await;
        self.busy.store(false, Ordering::SeqCst);
        results
    }
}

publisher_mutant!(
    /// Hangs once it is closed.
    HangsAfterClose => hangs_after_close
);

#[async_trait]
impl PublisherMutant for HangsAfterClose {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let results = self.inner.publish(batch).await;
        if results.iter().any(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed)) {
            std::future::pending::<()>().await;
        }
        results
    }
}

publisher_mutant!(
    /// Waits for a blocked broker for ever.
    IgnoresTimeLimit => waits_for_a_blocked_broker_for_ever
);

#[async_trait]
impl PublisherMutant for IgnoresTimeLimit {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        loop {
            let results = self.inner.publish(batch).await;
            let blocked =
                |error: &Error| matches!(error.kind(), ErrorKind::Blocked | ErrorKind::Timeout | ErrorKind::Unknown);
            if !results.iter().any(|result| result.as_ref().is_err_and(blocked)) {
                return results;
            }
        }
    }
}

publisher_mutant!(
    /// Closes without waiting, and loses what was on its way.
    DropsAtClose { closed: AtomicBool } => loses_what_is_on_its_way_at_close
);

#[async_trait]
impl PublisherMutant for DropsAtClose {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        tokio::task::yield_now().await;
        if self.closed.load(Ordering::SeqCst) {
            // Taken before the close, told that it is fine, and gone.
            return batch.iter().map(|_| Ok(())).collect();
        }
        self.inner.publish(batch).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.inner.close().await
    }
}
