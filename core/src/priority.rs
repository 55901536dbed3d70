//! Several queues as one, served by priority.

use std::future::{Future, poll_fn};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::contract::{Capabilities, ConnectionState, MessageProvider, RequeuePosition};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::receipt::Receipt;
use crate::settlement::{SettleError, Settlement};

/// Several providers as one: what is ready in a queue of higher priority is served first.
///
/// Strict priority asks the queues in order and can starve the last ones. By weight, each queue with something ready gets its
/// share of the deliveries, and no queue starves.
///
/// Each delivery says which queue it is from, and is retried and parked there. Providers may be of different brokers.
#[derive(Debug)]
pub struct PriorityProvider {
    name: String,
    providers: Vec<Arc<dyn MessageProvider>>,
    turns: Turns,
}

#[derive(Debug)]
enum Turns {
    Strict,
    Weighted(Mutex<Vec<Credit>>),
}

/// Smooth weighted round robin: in each turn everyone earns their weight, the richest serves and pays the total.
/// (Nginx has used it for upstream servers since 1.3.1.)
#[derive(Clone, Copy, Debug)]
struct Credit {
    weight: i64,
    balance: i64,
}

impl PriorityProvider {
    /// The first provider before the second, and so on, always.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for no provider at all, or more than 255.
    pub fn strict(providers: impl IntoIterator<Item = Arc<dyn MessageProvider>>) -> Result<Self> {
        Self::new(providers.into_iter().collect(), Turns::Strict)
    }

    /// Each provider with a share of the deliveries in proportion to its weight.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for no provider at all, or more than 255.
    pub fn weighted(providers: impl IntoIterator<Item = (Arc<dyn MessageProvider>, NonZeroU32)>) -> Result<Self> {
        let (providers, credits) = providers
            .into_iter()
            .map(|(provider, weight)| (provider, Credit { weight: weight.get().into(), balance: 0 }))
            .unzip();
        Self::new(providers, Turns::Weighted(Mutex::new(credits)))
    }

    fn new(providers: Vec<Arc<dyn MessageProvider>>, turns: Turns) -> Result<Self> {
        if !(1..=255).contains(&providers.len()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a priority provider is made of 1 to 255 others, not of {}", providers.len()),
            ));
        }
        let name = providers.iter().map(|provider| provider.queue()).collect::<Vec<_>>().join(",");
        Ok(Self { name, providers, turns })
    }

    /// The order in which the providers are asked.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.providers.len()).collect();
        if let Turns::Weighted(credits) = &self.turns {
            let credits = credits.lock().unwrap_or_else(PoisonError::into_inner);
            // What each would have once it has earned its share of the next turn.
            order.sort_by_key(|index| std::cmp::Reverse(credits[*index].balance + credits[*index].weight));
        }
        order
    }

    /// How many deliveries a provider may give at once: all, or its share of them.
    fn share(&self, index: usize, max: NonZeroUsize) -> NonZeroUsize {
        let Turns::Weighted(credits) = &self.turns else { return max };
        let credits = credits.lock().unwrap_or_else(PoisonError::into_inner);
        let total: i64 = credits.iter().map(|credit| credit.weight).sum();
        let share = i64::try_from(max.get()).unwrap_or(i64::MAX).saturating_mul(credits[index].weight) / total;
        NonZeroUsize::new(usize::try_from(share).unwrap_or(usize::MAX)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Everyone earns by weight for these deliveries, and the one that served them pays.
    fn served(&self, index: usize, deliveries: usize) {
        if let Turns::Weighted(credits) = &self.turns {
            let mut credits = credits.lock().unwrap_or_else(PoisonError::into_inner);
            let total: i64 = credits.iter().map(|credit| credit.weight).sum();
            let deliveries = i64::try_from(deliveries).unwrap_or(i64::MAX);
            for credit in credits.iter_mut() {
                credit.balance = credit.balance.saturating_add(credit.weight.saturating_mul(deliveries));
            }
            credits[index].balance = credits[index].balance.saturating_sub(total.saturating_mul(deliveries));
            // A queue that is empty for long must not save up and shut the others out later.
            let most = total.saturating_mul(deliveries);
            for credit in credits.iter_mut() {
                credit.balance = credit.balance.clamp(-most, most);
            }
        }
    }

    /// Takes what is ready in the first queue that has something. Never from several at once: what one had given would
    /// be lost if the call were dropped while it asks the next.
    async fn take_ready(&self, max: NonZeroUsize, resting: &mut Resting) -> Result<Vec<Delivery>> {
        for index in self.order() {
            if resting.is_awake(index) {
                match self.providers[index].receive(self.share(index, max), Duration::ZERO).await {
                    Ok(none) if none.is_empty() => {}
                    Ok(deliveries) => return Ok(self.serve(index, deliveries)),
                    Err(error) => resting.failed(index, error)?,
                }
            }
        }
        Ok(Vec::new())
    }

    /// Notes who served these deliveries, in their receipts too.
    fn serve(&self, index: usize, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        self.served(index, deliveries.len());
        let mark = u8::try_from(index).expect("at most 255 providers");
        let system = self.providers[index].capabilities().system;
        let marked = |delivery: Delivery| {
            let receipt = delivery.receipt().nest(mark);
            delivery.with_receipt(receipt).with_system(system)
        };
        deliveries.into_iter().map(marked).collect()
    }

    /// Waits until one of the queues has something, or until the wait is over, or until all are stopped; `None` if one has
    /// failed meanwhile.
    async fn wait_for_any(
        &self,
        max: NonZeroUsize,
        wait: Duration,
        resting: &mut Resting,
    ) -> Result<Option<Vec<Delivery>>> {
        let awake = self.order().into_iter().filter(|index| resting.is_awake(*index));
        let call = |index: usize| (index, Some(self.providers[index].receive(self.share(index, max), wait)));
        let mut calls: Vec<_> = awake.map(call).collect();
        // Polled in order, so that the more important of two that are ready at once comes first; the others are dropped,
        // which loses nothing.
        let (index, result) = poll_fn(|cx| {
            for (index, call) in &mut calls {
                let Some(future) = call else { continue };
                match Pin::new(future).poll(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(none)) if none.is_empty() => *call = None,
                    Poll::Ready(result) => return Poll::Ready((*index, result)),
                }
            }
            let all_empty = calls.iter().all(|(_, call)| call.is_none());
            if all_empty { Poll::Ready((0, Ok(Vec::new()))) } else { Poll::Pending }
        })
        .await;
        match result {
            Ok(none) if none.is_empty() => Ok(Some(none)),
            Ok(deliveries) => Ok(Some(self.serve(index, deliveries))),
            Err(error) => resting.failed(index, error).map(|()| None),
        }
    }

    /// The provider that issued a receipt, and the receipt as it knows it.
    fn issuer(&self, receipt: Receipt) -> Option<(usize, Receipt)> {
        let (index, inner) = receipt.unnest()?;
        (usize::from(index) < self.providers.len()).then_some((usize::from(index), inner))
    }

    /// Sorts items by the provider that issued their receipts; those of nobody are failures.
    fn by_issuer<T>(&self, items: impl IntoIterator<Item = (Receipt, T)>) -> (Vec<ByIssuer<T>>, Vec<(Receipt, Error)>) {
        let mut sorted: Vec<Vec<_>> = self.providers.iter().map(|_| Vec::new()).collect();
        let mut unknown = Vec::new();
        for (receipt, item) in items {
            match self.issuer(receipt) {
                Some((index, inner)) => sorted[index].push((inner, item)),
                None => unknown.push((receipt, Error::new(ErrorKind::Stale, "the receipt is of another provider"))),
            }
        }
        (sorted, unknown)
    }
}

/// The providers that have failed during a call, which are left alone for a while.
struct Resting(Vec<Option<Instant>>);

impl Resting {
    /// How long a provider that has failed is left alone, while others work.
    const PAUSE: Duration = Duration::from_secs(1);

    fn none(providers: usize) -> Self {
        Self(vec![None; providers])
    }

    fn is_awake(&self, index: usize) -> bool {
        self.0[index].is_none_or(|until| until <= Instant::now())
    }

    /// Notes a failure; an error is for the caller if nothing else is left, or if it will not pass.
    fn failed(&mut self, index: usize, error: Error) -> Result<()> {
        self.0[index] = Some(Instant::now() + Self::PAUSE);
        let all = (0..self.0.len()).all(|index| !self.is_awake(index));
        if all || !error.is_temporary() {
            return Err(error);
        }
        warn!(%error, "a queue cannot be reached; the others go on");
        Ok(())
    }

    /// How long until one of them is asked again.
    fn soonest(&self) -> Option<Duration> {
        let now = Instant::now();
        self.0.iter().flatten().filter(|until| **until > now).map(|until| *until - now).min()
    }
}

/// What one provider is asked about, with receipts as it knows them.
type ByIssuer<T> = Vec<(Receipt, T)>;

/// The failures of all, with receipts as the caller knows them.
fn collect(results: Vec<Result<(), SettleError>>, mut failures: Vec<(Receipt, Error)>) -> Result<(), SettleError> {
    for (index, result) in results.into_iter().enumerate() {
        let index = u8::try_from(index).expect("at most 255 providers");
        let failed = result.err().map(SettleError::into_failures).unwrap_or_default();
        failures.extend(failed.into_iter().map(|(receipt, error)| (receipt.nest(index), error)));
    }
    SettleError::check(failures)
}

/// All of them, even if some fail; the first error.
async fn all<'a, F>(calls: impl Iterator<Item = F> + 'a) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    join_all(calls).await.into_iter().collect()
}

#[async_trait]
impl MessageProvider for PriorityProvider {
    /// The names of all queues, joined by commas.
    fn queue(&self) -> &str {
        &self.name
    }

    /// What all of them can do; the shortest lease.
    fn capabilities(&self) -> Capabilities {
        let all = || self.providers.iter().map(|provider| provider.capabilities());
        let every = |can: fn(&Capabilities) -> bool| all().all(|capabilities| can(&capabilities));
        let position = |position| all().all(|capabilities| capabilities.requeue_position == position);
        let system = self.providers[0].capabilities().system;
        Capabilities {
            system: if all().all(|c| c.system == system) { system } else { "" },
            unroutable: every(|c| c.unroutable),
            durable: every(|c| c.durable),
            // Between queues there is no order.
            ordered: self.providers.len() == 1 && every(|c| c.ordered),
            delivery_count: every(|c| c.delivery_count),
            requeue_position: match () {
                () if position(RequeuePosition::Head) => RequeuePosition::Head,
                () if position(RequeuePosition::Tail) => RequeuePosition::Tail,
                () => RequeuePosition::Unspecified,
            },
            max_priority: all().map(|c| c.max_priority).min().flatten(),
            ttl: every(|c| c.ttl),
            length_limit: every(|c| c.length_limit),
            lease: all().filter_map(|c| c.lease).min(),
            browse: every(|c| c.browse),
            list: every(|c| c.list),
            max_delay: all().map(|c| c.max_delay).min().flatten(),
            delay_grid_percent: all().map(|c| c.delay_grid_percent).max().unwrap_or(0),
            dead_letter: every(|c| c.dead_letter),
            network: all().any(|c| c.network),
        }
    }

    /// The worst of all.
    fn connection(&self) -> ConnectionState {
        let states: Vec<_> = self.providers.iter().map(|provider| provider.connection()).collect();
        let any = |state| states.contains(&state);
        match () {
            () if any(ConnectionState::Closed) => ConnectionState::Closed,
            () if any(ConnectionState::Connecting) => ConnectionState::Connecting,
            () => ConnectionState::Connected,
        }
    }

    /// Each provider may hold so many.
    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        all(self.providers.iter().map(|provider| provider.set_prefetch(prefetch))).await
    }

    /// A temporary error of one queue does not hold up the others: it is returned only once all have failed, and shows in
    /// [`connection`](Self::connection) until then.
    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let mut resting = Resting::none(self.providers.len());
        let end = Instant::now().checked_add(wait);
        loop {
            let ready = self.take_ready(max, &mut resting).await?;
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if !ready.is_empty() || left.is_zero() {
                return Ok(ready);
            }
            let rest = resting.soonest();
            let wait = rest.map_or(left, |rest| left.min(rest));
            let waited = sleep(wait);
            match self.wait_for_any(max, wait, &mut resting).await? {
                // Empty before its time if all are stopped.
                Some(came) if !came.is_empty() || rest.is_none() => return Ok(came),
                // Those that are stopped answer at once: asked again and again, they would keep the thread busy for as long
                // as the others rest.
                Some(_) => waited.await,
                None => {}
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let (sorted, unknown) = self.by_issuer(settlements.iter().map(|s| (s.receipt, s.outcome.clone())));
        let calls = self.providers.iter().zip(sorted).map(|(provider, items)| async move {
            let items: Vec<_> = items.into_iter().map(|(receipt, outcome)| Settlement::new(receipt, outcome)).collect();
            if items.is_empty() { Ok(()) } else { provider.settle(&items).await }
        });
        collect(join_all(calls).await, unknown)
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        let (sorted, unknown) = self.by_issuer(receipts.iter().map(|receipt| (*receipt, ())));
        let calls = self.providers.iter().zip(sorted).map(|(provider, items)| async move {
            let items: Vec<_> = items.into_iter().map(|(receipt, ())| receipt).collect();
            if items.is_empty() { Ok(()) } else { provider.extend(&items).await }
        });
        collect(join_all(calls).await, unknown)
    }

    async fn pause(&self) -> Result<()> {
        all(self.providers.iter().map(|provider| provider.pause())).await
    }

    async fn stop(&self) -> Result<()> {
        all(self.providers.iter().map(|provider| provider.stop())).await
    }

    async fn close(&self) -> Result<()> {
        all(self.providers.iter().map(|provider| provider.close())).await
    }
}
