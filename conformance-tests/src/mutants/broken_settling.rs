//! Providers that settle in broken ways.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarrot_core::message::names;
use swarrot_core::{
    Broker, Delivery, ErrorKind, MessageProvider, Outcome, Outgoing, PublisherOptions, Receipt, RequeuePosition,
    Result, SettleError, Settlement, async_trait,
};

use super::wrap::{ProviderMutant, Wrapped};

/// A provider that knows what it has handed out, and can publish.
#[derive(Debug)]
struct Knowing {
    inner: Arc<dyn MessageProvider>,
    broker: Arc<dyn Broker>,
    held: Mutex<HashMap<Receipt, Delivery>>,
}

impl Knowing {
    fn new(inner: Arc<dyn MessageProvider>, broker: &Arc<dyn Broker>) -> Self {
        Self { inner, broker: Arc::clone(broker), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Receipt, Delivery>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let taken = self.inner.receive(max, wait).await?;
        self.held().extend(taken.iter().map(|delivery| (delivery.receipt(), delivery.clone())));
        Ok(taken)
    }

    async fn publish(&self, exchange: &str, outgoing: Outgoing) -> Result<()> {
        let publisher = self.broker.publisher(exchange, PublisherOptions::default()).await?;
        publisher.publish(&[outgoing]).await.remove(0)
    }

    /// Settles one of them otherwise, and all others as they should be.
    async fn settle<F: Future<Output = Result<Option<Outcome>>>>(
        &self,
        settlements: &[Settlement],
        otherwise: impl Fn(Delivery, Outcome) -> F,
    ) -> Result<(), SettleError> {
        let (mut failures, mut rest) = (Vec::new(), Vec::new());
        for Settlement { receipt, outcome } in settlements {
            let Some(delivery) = self.held().remove(receipt) else {
                rest.push(Settlement::new(*receipt, outcome.clone()));
                continue;
            };
            match otherwise(delivery, outcome.clone()).await {
                Ok(changed) => rest.extend(changed.map(|outcome| Settlement::new(*receipt, outcome))),
                Err(error) => failures.push((*receipt, error)),
            }
        }
        if let Err(error) = self.inner.settle(&rest).await {
            failures.extend(error.into_failures());
        }
        SettleError::check(failures)
    }
}

macro_rules! knowing_mutant {
    ($(#[$doc:meta])* $name:ident => $wrap:ident, |$this:ident, $delivery:ident, $outcome:ident| $otherwise:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name(Knowing);

        pub(super) fn $wrap(inner: Arc<dyn MessageProvider>, broker: &Arc<dyn Broker>) -> Arc<dyn MessageProvider> {
            Arc::new(Wrapped($name(Knowing::new(inner, broker))))
        }

        #[async_trait]
        impl ProviderMutant for $name {
            fn inner(&self) -> &dyn MessageProvider {
                &*self.0.inner
            }

            async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
                self.0.receive(max, wait).await
            }

            async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
                let $this = &self.0;
                self.0.settle(settlements, |$delivery: Delivery, $outcome: Outcome| async move { $otherwise }).await
            }
        }
    };
}

knowing_mutant!(
    /// Acks the original, and publishes the copy then.
    AcksFirst => acks_before_the_copy_is_confirmed, |this, delivery, outcome| match outcome {
        Outcome::Reject { reason } => {
            let ack = Settlement::new(delivery.receipt(), Outcome::Ack);
            this.inner.settle(&[ack]).await.map_err(|error| error.into_failures().remove(0).1)?;
            let dead = names::dead_letter_queue(delivery.queue());
            this.publish("", Outgoing::copy(dead, delivery.dead_letter_copy(&reason))).await.map(|()| None)
        }
        outcome => Ok(Some(outcome)),
    }
);

knowing_mutant!(
    /// Retries with a copy that does not count.
    ForgetsToCount => retries_without_counting, |this, delivery, outcome| match outcome {
        Outcome::Retry { after, .. } => {
            let copy = Outgoing::copy(delivery.queue(), delivery.message().clone()).delay(after);
            this.publish("", copy).await.map(|()| Some(Outcome::Ack))
        }
        outcome => Ok(Some(outcome)),
    }
);

knowing_mutant!(
    /// Retries through the exchange that the message came from first.
    RetriesThroughExchange => retries_through_the_exchange, |this, delivery, outcome| match outcome {
        Outcome::Retry { after, reason } => {
            let copy = Outgoing::copy(delivery.routing_key(), delivery.retry_copy(reason.as_ref())).delay(after);
            this.publish(delivery.exchange(), copy).await.map(|()| Some(Outcome::Ack))
        }
        outcome => Ok(Some(outcome)),
    }
);

knowing_mutant!(
    /// Requeues at the end where it should not.
    WrongEnd => requeues_at_the_wrong_end, |this, delivery, outcome| match outcome {
        Outcome::Requeue if this.inner.capabilities().requeue_position == RequeuePosition::Tail => {
            Ok(Some(Outcome::Release))
        }
        Outcome::Requeue => {
            let copy = Outgoing::copy(delivery.queue(), delivery.message().clone());
            this.publish("", copy).await.map(|()| Some(Outcome::Ack))
        }
        outcome => Ok(Some(outcome)),
    }
);

knowing_mutant!(
    /// Parks the message as it is: with no reason, and no way back.
    ParksBare => parks_without_a_word, |this, delivery, outcome| match outcome {
        Outcome::Reject { .. } => {
            let dead = names::dead_letter_queue(delivery.queue());
            this.publish("", Outgoing::copy(dead, delivery.message().clone())).await.map(|()| Some(Outcome::Ack))
        }
        outcome => Ok(Some(outcome)),
    }
);

knowing_mutant!(
    /// Acks everything up to what is acked, as `multiple` does.
    AcksAllBelow => acks_everything_before, |this, delivery, outcome| {
        if outcome == Outcome::Ack {
            let below: BTreeSet<Receipt> = {
                let mut held = this.held();
                let below: BTreeSet<_> = held.keys().copied().filter(|r| r.low() < delivery.receipt().low()).collect();
                held.retain(|receipt, _| !below.contains(receipt));
                below
            };
            let acks: Vec<_> = below.into_iter().map(|receipt| Settlement::new(receipt, Outcome::Ack)).collect();
            // Those that are gone already do not matter to it.
            let _ = this.inner.settle(&acks).await;
        }
        Ok(Some(outcome))
    }
);

/// Says `Ok` for receipts that are not held any more.
#[derive(Debug)]
struct StaleIsFine(Arc<dyn MessageProvider>);

pub(super) fn settles_stale_receipts(inner: Arc<dyn MessageProvider>, _: &Arc<dyn Broker>) -> Arc<dyn MessageProvider> {
    Arc::new(Wrapped(StaleIsFine(inner)))
}

#[async_trait]
impl ProviderMutant for StaleIsFine {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.0
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let Err(error) = self.0.settle(settlements).await else { return Ok(()) };
        let not_stale = |(_, error): &(Receipt, swarrot_core::Error)| error.kind() != ErrorKind::Stale;
        SettleError::check(error.into_failures().into_iter().filter(not_stale).collect())
    }
}

/// Fails a whole call for the sake of one receipt.
#[derive(Debug)]
struct AllOrNothing(Arc<dyn MessageProvider>);

pub(super) fn fails_all_for_one(inner: Arc<dyn MessageProvider>, _: &Arc<dyn Broker>) -> Arc<dyn MessageProvider> {
    Arc::new(Wrapped(AllOrNothing(inner)))
}

#[async_trait]
impl ProviderMutant for AllOrNothing {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.0
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let Err(error) = self.0.settle(settlements).await else { return Ok(()) };
        Err(SettleError::all(settlements.iter().map(|s| s.receipt), &error.failures()[0].1))
    }
}

/// Settles one at a time and stops at the first that fails.
#[derive(Debug)]
struct StopsAtFirst(Arc<dyn MessageProvider>);

pub(super) fn stops_at_the_first_that_fails(
    inner: Arc<dyn MessageProvider>,
    _: &Arc<dyn Broker>,
) -> Arc<dyn MessageProvider> {
    Arc::new(Wrapped(StopsAtFirst(inner)))
}

#[async_trait]
impl ProviderMutant for StopsAtFirst {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.0
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        for settlement in settlements {
            self.0.settle(std::slice::from_ref(settlement)).await?;
        }
        Ok(())
    }
}
