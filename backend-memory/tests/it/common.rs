//! What the tests share.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, Delivery, ErrorKind, Message, MessageProvider, MessagePublisher, MessagePublisherExt, Outcome, Outgoing,
    ProviderOptions, PublisherOptions, Result, SettleError, Settlement,
};
use swarrot_memory::{MemoryBroker, Profile};

pub(crate) const NOW: Duration = Duration::ZERO;
pub(crate) const LONG: Duration = Duration::from_secs(3600);
pub(crate) const LEASE: Duration = Duration::from_secs(10);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn max(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

/// A broker of each profile.
pub(crate) fn both() -> [MemoryBroker; 2] {
    [MemoryBroker::new(), MemoryBroker::with_profile(Profile::Streams { lease: LEASE })]
}

pub(crate) async fn declare(broker: &MemoryBroker, queue: Queue) {
    broker.declare(&Topology::new().queue(queue)).await.expect("declare");
}

/// A broker with the queue `q` and its dead-letter queue.
pub(crate) async fn with_queue() -> MemoryBroker {
    let broker = MemoryBroker::new();
    declare(&broker, Queue::new("q")).await;
    broker
}

pub(crate) async fn provider(broker: &MemoryBroker, queue: &str) -> Arc<dyn MessageProvider> {
    broker.provider(queue, ProviderOptions::default()).await.expect("provider")
}

pub(crate) async fn provider_of(broker: &MemoryBroker, queue: &str, prefetch: u16) -> Arc<dyn MessageProvider> {
    let options = ProviderOptions::default().prefetch(NonZeroU16::new(prefetch).expect("not zero"));
    broker.provider(queue, options).await.expect("provider")
}

pub(crate) async fn publisher(broker: &MemoryBroker, exchange: &str) -> Arc<dyn MessagePublisher> {
    broker.publisher(exchange, PublisherOptions::default()).await.expect("publisher")
}

pub(crate) async fn send(broker: &MemoryBroker, queue: &str, message: Message) -> Result<()> {
    publisher(broker, "").await.publish_one(Outgoing::new(queue, message)).await
}

pub(crate) async fn send_all(broker: &MemoryBroker, queue: &str, bodies: impl IntoIterator<Item = &'static str>) {
    for body in bodies {
        send(broker, queue, Message::new(body)).await.expect("publish");
    }
}

/// What is there now.
pub(crate) async fn take(provider: &Arc<dyn MessageProvider>, count: usize) -> Vec<Delivery> {
    provider.receive(max(count), NOW).await.expect("receive")
}

/// The one that is there now.
pub(crate) async fn one(provider: &Arc<dyn MessageProvider>) -> Delivery {
    take(provider, 1).await.pop().expect("a delivery is ready")
}

pub(crate) async fn settle(
    provider: &Arc<dyn MessageProvider>,
    delivery: &Delivery,
    outcome: Outcome,
) -> Result<(), SettleError> {
    provider.settle(&[Settlement::new(delivery.receipt(), outcome)]).await
}

/// Settles, and answers with the kind of the failure.
pub(crate) async fn settle_kind(
    provider: &Arc<dyn MessageProvider>,
    delivery: &Delivery,
    outcome: Outcome,
) -> ErrorKind {
    let error = settle(provider, delivery, outcome).await.expect_err("a failure");
    assert_eq!(error.failures().len(), 1);
    assert_eq!(error.failures()[0].0, delivery.receipt());
    error.failures()[0].1.kind()
}

pub(crate) fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|d| std::str::from_utf8(d.body()).expect("text")).collect()
}
