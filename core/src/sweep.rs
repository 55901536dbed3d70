//! Going once through what waits in a queue.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::contract::{Broker, MessageProvider, MessagePublisher, Outgoing, ProviderOptions};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::settlement::{SettleError, Settlement};

/// Goes once through the messages that wait in a queue: each is looked at, and then is done, goes elsewhere, or stays.
///
/// It is what moves messages between queues and puts dead letters back to work. It sees as many messages as waited when it
/// began, those included whose holder has let its lease end, so that it ends, even while others publish, or while what it
/// moves comes back. Until it is closed, it holds what stays, so that no worker gets that meanwhile.
///
/// ```
/// # use std::num::NonZeroUsize;
/// # use swarrot_core::{Broker, Delivery, Outgoing, PublisherOptions, Result, Sweep};
/// /// Everything that failed for a time-out is tried anew.
/// async fn retry_timeouts(broker: &dyn Broker) -> Result<()> {
///     let publisher = broker.publisher("", PublisherOptions::default()).await?;
///     let mut sweep = Sweep::open(broker, "mails.dead").await?;
///     loop {
///         let seen = sweep.next(const { NonZeroUsize::new(100).unwrap() }).await?;
///         if seen.is_empty() {
///             return sweep.close().await;
///         }
///         let timed_out = |delivery: &Delivery| {
///             delivery.message().failure().and_then(|failure| failure.reason).is_some_and(|reason| reason.contains("timed out"))
///         };
///         let again: Result<Vec<_>> =
///             seen.into_iter().filter(timed_out).map(|d| Ok((d.receipt(), Outgoing::redrive(&d)?))).collect();
///         sweep.forward(&*publisher, again?).await.into_iter().collect::<Result<Vec<_>>>()?;
///     }
/// }
/// ```
///
/// # Cancel safety
/// A sweep that is dropped unclosed gives back what it holds when its connection or its leases end. A dropped call of one of
/// its methods has taken effect for each message, or not; a copy is always confirmed before its original is settled.
#[derive(Debug)]
pub struct Sweep {
    provider: Arc<dyn MessageProvider>,
    left: u64,
    /// What a dropped call of [`next`](Self::next) has received.
    seen: Vec<Delivery>,
    held: HashSet<Receipt>,
    extended: Instant,
}

impl Sweep {
    /// Messages that one sweep can hold at once.
    pub const MAX_HELD: usize = u16::MAX as usize;

    /// How long it waits for a message that was counted and does not come, because others hold it.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Begins with a queue.
    ///
    /// # Errors
    /// As [`Broker::stats`] and [`Broker::provider`].
    pub async fn open(broker: &dyn Broker, queue: &str) -> Result<Self> {
        Self::open_at_most(broker, queue, u64::MAX).await
    }

    /// Begins with a queue, of which it takes no more than this number of messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_at_most(broker: &dyn Broker, queue: &str, messages: u64) -> Result<Self> {
        let stats = broker.stats(queue).await?;
        let prefetch = |left| NonZeroU16::new(u16::try_from(left).unwrap_or(u16::MAX)).unwrap_or(NonZeroU16::MIN);
        // What a process held that died is unsettled until somebody asks for more, where there are leases. It is meant too.
        let all = stats.ready.saturating_add(stats.unsettled.unwrap_or(0)).min(messages);
        // What comes in advance and is given back may have lost its place.
        let options = ProviderOptions::default().prefetch(prefetch(all));
        let provider = broker.provider(queue, options).await?;
        let left = if provider.capabilities().lease.is_some() { all } else { stats.ready.min(messages) };
        Ok(Self { provider, left, seen: Vec::new(), held: HashSet::new(), extended: Instant::now() })
    }

    /// How many messages are still to be seen. It is not 0 at the end where others took some, or where it
    /// holds [`MAX_HELD`](Self::MAX_HELD) that stay.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next messages, `max` at most; none at the end.
    ///
    /// # Errors
    /// As [`MessageProvider::receive`], and a temporary one too if something that it held has gone back to the queue, since that would
    /// be seen again in the place of others. After a temporary error begin a new sweep.
    pub async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Delivery>> {
        if self.seen.is_empty() {
            self.seen = self.receive(max).await?;
        }
        // Afterwards: what came over a new connection came after what was held on the old one had gone back.
        self.extend(self.seen.is_empty()).await?;
        // A call that was dropped may have asked for more.
        let seen: Vec<_> = self.seen.drain(..self.seen.len().min(max.get())).collect();
        self.left -= u64::try_from(seen.len()).unwrap_or(0).min(self.left);
        self.held.extend(seen.iter().map(Delivery::receipt));
        Ok(seen)
    }

    async fn receive(&self, max: NonZeroUsize) -> Result<Vec<Delivery>> {
        let room = u64::try_from(Self::MAX_HELD - self.held.len()).unwrap_or(u64::MAX);
        let max = self.left.min(room).min(max.get().try_into().unwrap_or(u64::MAX));
        let Some(max) = usize::try_from(max).ok().and_then(NonZeroUsize::new) else { return Ok(Vec::new()) };
        self.provider.receive(max, Self::PATIENCE).await
    }

    /// These are done: the broker forgets them.
    ///
    /// # Errors
    /// As [`MessageProvider::settle`].
    pub async fn done(&mut self, receipts: &[Receipt]) -> Result<(), SettleError> {
        self.settle(receipts, &Outcome::Ack).await
    }

    /// These may stay, from now on for others to take.
    ///
    /// Where a requeued message comes to the front of its queue, this sweep sees it again.
    ///
    /// # Errors
    /// As [`MessageProvider::settle`].
    pub async fn release(&mut self, receipts: &[Receipt]) -> Result<(), SettleError> {
        self.settle(receipts, &Outcome::Release).await
    }

    /// Publishes a message for each of these, and settles those whose message is confirmed. One result for each, in order;
    /// what failed stays.
    ///
    /// # Errors
    /// As [`MessagePublisher::publish`]; of the kind [`Unknown`](ErrorKind::Unknown) too if the message was published and the
    /// original could not be settled, so that it is there twice.
    pub async fn forward(
        &mut self,
        publisher: &dyn MessagePublisher,
        batch: Vec<(Receipt, Outgoing)>,
    ) -> Vec<Result<()>> {
        let (receipts, messages): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut results = publisher.publish(&messages).await;
        let confirmed: Vec<_> =
            receipts.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(receipt, _)| *receipt).collect();
        let Err(failed) = self.done(&confirmed).await else { return results };
        for (receipt, error) in failed.into_failures() {
            if let Some(at) = receipts.iter().position(|r| *r == receipt) {
                let message = "the message was published, but the original is still there: it may come twice";
                results[at] = Err(Error::new(ErrorKind::Unknown, message).with_operation("settle").with_source(error));
            }
        }
        results
    }

    /// Gives back what it holds.
    ///
    /// # Errors
    /// As [`MessageProvider::close`].
    pub async fn close(self) -> Result<()> {
        self.provider.close().await
    }

    async fn settle(&mut self, receipts: &[Receipt], outcome: &Outcome) -> Result<(), SettleError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let settlements: Vec<_> = receipts.iter().map(|r| Settlement::new(*r, outcome.clone())).collect();
        let result = self.provider.settle(&settlements).await;
        for receipt in receipts {
            self.held.remove(receipt);
        }
        for (receipt, error) in result.as_ref().err().into_iter().flat_map(SettleError::failures) {
            if error.kind() != ErrorKind::Stale {
                self.held.insert(*receipt);
            }
        }
        result
    }

    /// Renews the leases of what is held, where there are any and it is time, or it is the end.
    ///
    /// # Errors
    /// A temporary one if something is held no more.
    async fn extend(&mut self, is_end: bool) -> Result<()> {
        let asked: Vec<_> = match self.provider.capabilities().lease {
            Some(lease) if !is_end && self.extended.elapsed() < lease / 3 => return Ok(()),
            Some(_) => self.held.iter().copied().collect(),
            // Without leases all of it goes at once, with its connection.
            None => self.held.iter().copied().take(1).collect(),
        };
        if asked.is_empty() {
            return Ok(());
        }
        self.extended = Instant::now();
        let failures = self.provider.extend(&asked).await.err().map(SettleError::into_failures).unwrap_or_default();
        let is_stale = |(_, error): &(Receipt, Error)| error.kind() == ErrorKind::Stale;
        let Some((_, error)) = failures.into_iter().find(is_stale) else { return Ok(()) };
        let message = "messages that the sweep held went back to the queue; begin a new one";
        Err(Error::new(ErrorKind::Connection, message).with_operation("sweep").with_source(error))
    }
}
