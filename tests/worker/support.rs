//! What the worker's tests share: a memory broker with one queue, and ways to fill and look at it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::memory::{Faults, MemoryBroker, Profile};
use swarrot::prelude::*;
use swarrot::{Report, Settlement, WorkerError};

pub(crate) const QUEUE: &str = "work";

pub(crate) struct Bench {
    pub(crate) broker: Arc<dyn Broker>,
    memory: MemoryBroker,
    pub(crate) publisher: Arc<dyn MessagePublisher>,
    /// What handlers have noted, in order.
    pub(crate) seen: Seen,
}

/// Notes of handlers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(MemoryBroker::new()).await
    }

    pub(crate) async fn with_lease(lease: Duration) -> Self {
        Self::with(MemoryBroker::with_profile(Profile::Streams { lease })).await
    }

    async fn with(broker: MemoryBroker) -> Self {
        let memory = broker.clone();
        let broker: Arc<dyn Broker> = Arc::new(broker);
        broker.declare(&Topology::new().queue(Queue::new(QUEUE))).await.unwrap();
        let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
        Self { broker, memory, publisher, seen: Seen::default() }
    }

    /// Publishes bodies `0`, `1`, … up to this many.
    pub(crate) async fn fill(&self, messages: usize) {
        let batch: Vec<_> = (0..messages).map(|n| Outgoing::new(QUEUE, Message::new(n.to_string()))).collect();
        for result in self.publisher.publish(&batch).await {
            result.unwrap();
        }
    }

    pub(crate) async fn worker(&self) -> Worker {
        Worker::new(self.provider().await).state(self.seen.clone()).signals_off()
    }

    pub(crate) async fn provider(&self) -> Arc<dyn MessageProvider> {
        self.broker.provider(QUEUE, ProviderOptions::default()).await.unwrap()
    }

    /// The switches that break the broker.
    pub(crate) fn faults(&self) -> Faults {
        self.memory.faults()
    }

    /// Messages that wait, and that are parked.
    pub(crate) async fn left(&self) -> (u64, u64) {
        let stats = self.broker.stats(QUEUE).await.unwrap();
        (stats.ready + stats.delayed.unwrap_or(0), stats.parked.unwrap_or(0))
    }

    /// Takes the parked messages out.
    pub(crate) async fn parked(&self) -> Vec<Delivery> {
        let dead = self.broker.provider("work.dead", ProviderOptions::default()).await.unwrap();
        let parked = dead.receive(NonZeroUsize::new(1000).unwrap(), Duration::ZERO).await.unwrap();
        let acks: Vec<_> = parked.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        dead.settle(&acks).await.unwrap();
        parked
    }
}

/// The report, whether the worker ended well or not.
pub(crate) fn report_of(result: Result<Report, WorkerError>) -> Report {
    result.unwrap_or_else(|error| error.report().expect("it started").clone())
}
