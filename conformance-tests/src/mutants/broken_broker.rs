//! Brokers whose own calls are broken.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, DeadLetter, Error, ErrorKind, Message, MessageProvider, Outcome, ProviderOptions, QueueStats, Result,
    Settlement, async_trait,
};

use super::wrap::{BrokerMutant, Wrapped};

macro_rules! broker_mutant {
    ($(#[$doc:meta])* $name:ident => $wrap:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name(Arc<dyn Broker>);

        pub(super) fn $wrap(inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
            Arc::new(Wrapped($name(inner)))
        }
    };
}

broker_mutant!(
    /// Makes a queue that is asked for and does not exist.
    CreatesMissing => creates_missing_queues
);

#[async_trait]
impl BrokerMutant for CreatesMissing {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        match self.0.provider(queue, options.clone()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Topology::new().queue(Queue::new(queue).dead_letter(DeadLetter::Drop));
                self.0.declare(&made).await?;
                self.0.provider(queue, options).await
            }
            made => made,
        }
    }
}

broker_mutant!(
    /// Looks at messages by taking them, and puts them back.
    PeekTakes => looks_by_taking
);

#[async_trait]
impl BrokerMutant for PeekTakes {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        let provider = self.0.provider(queue, ProviderOptions::default()).await?;
        let taken = provider.receive(max, Duration::ZERO).await?;
        let back: Vec<_> = taken.iter().map(|d| Settlement::new(d.receipt(), Outcome::Requeue)).collect();
        provider.settle(&back).await.map_err(|error| error.into_failures().remove(0).1)?;
        provider.close().await?;
        Ok(taken.iter().map(|delivery| delivery.message().clone()).collect())
    }
}

broker_mutant!(
    /// Claims to show messages, and does not.
    CannotPeek => claims_to_look_and_cannot
);

#[async_trait]
impl BrokerMutant for CannotPeek {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn peek(&self, _: &str, _: NonZeroUsize) -> Result<Vec<Message>> {
        Err(Error::new(ErrorKind::Unsupported, "it cannot look"))
    }
}

broker_mutant!(
    /// Leaves dead-letter queues out of its list.
    ListsSome => lists_no_dead_letter_queues
);

#[async_trait]
impl BrokerMutant for ListsSome {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn queues(&self) -> Result<Vec<String>> {
        let suffix = swarrot_core::message::names::dead_letter_queue("");
        let mut names = self.0.queues().await?;
        names.retain(|name| !name.ends_with(&suffix));
        Ok(names)
    }
}

broker_mutant!(
    /// Counts what is unsettled as ready.
    StatsLie => counts_the_unsettled_as_ready
);

#[async_trait]
impl BrokerMutant for StatsLie {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        let mut stats = self.0.stats(queue).await?;
        stats.ready += stats.unsettled.unwrap_or(1);
        Ok(stats)
    }
}

broker_mutant!(
    /// Takes a queue that exists with other arguments for the one it was told to declare.
    IgnoresConflict => ignores_a_conflict
);

#[async_trait]
impl BrokerMutant for IgnoresConflict {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        match self.0.declare(topology).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            declared => declared,
        }
    }
}

broker_mutant!(
    /// Closes everything when one thing fails.
    DiesOfErrors => dies_of_a_missing_queue
);

#[async_trait]
impl BrokerMutant for DiesOfErrors {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        let made = self.0.provider(queue, options).await;
        if made.is_err() {
            self.0.close().await?;
        }
        made
    }
}

broker_mutant!(
    /// Does not close.
    StaysOpen => stays_open
);

#[async_trait]
impl BrokerMutant for StaysOpen {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.0
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
