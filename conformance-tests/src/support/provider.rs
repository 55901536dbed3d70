//! Short words for what cases do with a provider.

use std::num::NonZeroUsize;
use std::panic::Location;
use std::time::Duration;

use swarrot_core::{Delivery, MessageProvider, Outcome, Result, SettleError, Settlement};
use tokio::time::Instant;

use super::{PATIENCE, QUIET};

/// Short words for what cases do with a provider. Each panics with the caller's place when the provider does not do
/// what it should.
pub(crate) trait ProviderActions: MessageProvider {
    /// Up to so many deliveries, waiting for the first.
    fn up_to(&self, max: usize, wait: Duration) -> impl Future<Output = Result<Vec<Delivery>>> + Send {
        let max = NonZeroUsize::new(max).expect("asks for at least one");
        async move { self.receive(max, wait).await }
    }

    /// One delivery, which must come.
    #[track_caller]
    fn one(&self) -> impl Future<Output = Delivery> + Send {
        let at = Location::caller();
        async move { self.gather(1, PATIENCE, at).await.remove(0) }
    }

    /// So many deliveries, which must come, in several calls if need be.
    #[track_caller]
    fn take(&self, count: usize) -> impl Future<Output = Vec<Delivery>> + Send {
        self.gather(count, PATIENCE, Location::caller())
    }

    /// So many deliveries, which must come within this time of one another.
    fn gather(
        &self,
        count: usize,
        patience: Duration,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Vec<Delivery>> + Send {
        async move {
            let mut taken = Vec::with_capacity(count);
            let mut last = Instant::now();
            while taken.len() < count {
                let rest = patience.saturating_sub(last.elapsed());
                let some = self.up_to(count - taken.len(), rest).await;
                let some = some.unwrap_or_else(|error| panic!("{at}: cannot receive: {error:?}"));
                if some.is_empty() {
                    assert!(
                        last.elapsed() < patience,
                        "{at}: {} of {count} messages came from {:?}, and no more for {patience:?}",
                        taken.len(),
                        self.queue()
                    );
                } else {
                    last = Instant::now();
                }
                assert!(
                    taken.len() + some.len() <= count,
                    "{at}: a receive handed out {} deliveries, more than it was asked for",
                    some.len()
                );
                taken.extend(some);
            }
            taken
        }
    }

    /// Nothing comes for a while.
    #[track_caller]
    fn nothing(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        async move {
            let some = self.up_to(10, QUIET).await;
            let some = some.unwrap_or_else(|error| panic!("{at}: cannot receive: {error:?}"));
            let bodies: Vec<_> =
                some.iter().map(|d| String::from_utf8_lossy(&d.body()[..d.body().len().min(60)])).collect();
            assert!(some.is_empty(), "{at}: nothing should have come, but this did: {bodies:?}");
        }
    }

    /// Settles one delivery, which may fail.
    fn try_settle(
        &self,
        delivery: &Delivery,
        outcome: Outcome,
    ) -> impl Future<Output = Result<(), SettleError>> + Send {
        let settlement = Settlement::new(delivery.receipt(), outcome);
        async move { self.settle(&[settlement]).await }
    }

    /// Settles one delivery.
    #[track_caller]
    fn settle_one(&self, delivery: &Delivery, outcome: Outcome) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let settlement = Settlement::new(delivery.receipt(), outcome);
        async move {
            let settled = self.settle(std::slice::from_ref(&settlement)).await;
            settled.unwrap_or_else(|error| panic!("{at}: {settlement:?} failed: {error:?}"));
        }
    }

    /// Acks one delivery.
    #[track_caller]
    fn ack(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.settle_one(delivery, Outcome::Ack)
    }

    /// Acks deliveries, in one go.
    #[track_caller]
    fn ack_all(&self, deliveries: &[Delivery]) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let settlements: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        async move {
            let settled = self.settle(&settlements).await;
            settled.unwrap_or_else(|error| panic!("{at}: acks failed: {error:?}"));
        }
    }

    /// One delivery, which must come, acked.
    #[track_caller]
    fn one_acked(&self) -> impl Future<Output = Delivery> + Send {
        let at = Location::caller();
        async move {
            let delivery = self.gather(1, PATIENCE, at).await.remove(0);
            let settled = self.try_settle(&delivery, Outcome::Ack).await;
            settled.unwrap_or_else(|error| panic!("{at}: the ack failed: {error:?}"));
            delivery
        }
    }

    /// So many deliveries, which must come, each acked, and no more than fit in the prefetch at a time.
    #[track_caller]
    fn take_acked(&self, count: usize) -> impl Future<Output = Vec<Delivery>> + Send {
        let at = Location::caller();
        async move {
            let mut taken: Vec<Delivery> = Vec::with_capacity(count);
            let mut last = Instant::now();
            while taken.len() < count {
                let some = self.up_to((count - taken.len()).min(100), PATIENCE).await;
                let some = some.unwrap_or_else(|error| panic!("{at}: cannot receive: {error:?}"));
                if some.is_empty() {
                    assert!(
                        last.elapsed() < PATIENCE,
                        "{at}: {} of {count} messages came from {:?}, and no more for {PATIENCE:?}",
                        taken.len(),
                        self.queue()
                    );
                    continue;
                }
                last = Instant::now();
                let acks: Vec<_> = some.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
                self.settle(&acks).await.unwrap_or_else(|error| panic!("{at}: acks failed: {error:?}"));
                taken.extend(some);
            }
            taken
        }
    }
}

impl<P: MessageProvider + ?Sized> ProviderActions for P {}
