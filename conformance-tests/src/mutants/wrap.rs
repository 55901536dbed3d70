//! Wrappers that forward everything, but for what a mutant overrides.

use std::fmt::Debug;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::topology::{Comparison, QueueKind, Topology};
use swarrot_core::{
    Broker, Capabilities, ConnectionState, Delivery, Message, MessageProvider, MessagePublisher, Outgoing,
    ProviderOptions, PublisherOptions, QueueStats, Receipt, Result, ServerInfo, SettleError, Settlement, async_trait,
};

/// A provider that forwards what it does not override.
#[async_trait]
pub(super) trait ProviderMutant: Debug + Send + Sync + 'static {
    fn inner(&self) -> &dyn MessageProvider;

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        self.inner().set_prefetch(prefetch).await
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        self.inner().receive(max, wait).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        self.inner().settle(settlements).await
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        self.inner().extend(receipts).await
    }

    async fn pause(&self) -> Result<()> {
        self.inner().pause().await
    }

    async fn stop(&self) -> Result<()> {
        self.inner().stop().await
    }

    async fn close(&self) -> Result<()> {
        self.inner().close().await
    }
}

/// A publisher that forwards what it does not override.
#[async_trait]
pub(super) trait PublisherMutant: Debug + Send + Sync + 'static {
    fn inner(&self) -> &dyn MessagePublisher;

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        self.inner().publish(batch).await
    }

    async fn close(&self) -> Result<()> {
        self.inner().close().await
    }
}

/// A broker that forwards what it does not override.
#[async_trait]
pub(super) trait BrokerMutant: Debug + Send + Sync + 'static {
    fn inner(&self) -> &Arc<dyn Broker>;

    fn capabilities(&self, kind: QueueKind) -> Capabilities {
        self.inner().capabilities(kind)
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.inner().declare(topology).await
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        self.inner().compare(topology).await
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        self.inner().provider(queue, options).await
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        self.inner().publisher(exchange, options).await
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        self.inner().stats(queue).await
    }

    async fn queues(&self) -> Result<Vec<String>> {
        self.inner().queues().await
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        self.inner().peek(queue, max).await
    }

    async fn describe(&self) -> Result<ServerInfo> {
        self.inner().describe().await
    }

    async fn purge(&self, queue: &str) -> Result<u64> {
        self.inner().purge(queue).await
    }

    async fn delete(&self, queue: &str) -> Result<()> {
        self.inner().delete(queue).await
    }

    async fn close(&self) -> Result<()> {
        self.inner().close().await
    }
}

/// Makes the contract's types of mutants.
#[derive(Debug)]
pub(super) struct Wrapped<M>(pub(super) M);

#[async_trait]
impl<M: ProviderMutant> MessageProvider for Wrapped<M> {
    fn queue(&self) -> &str {
        self.0.inner().queue()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn connection(&self) -> ConnectionState {
        self.0.inner().connection()
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        self.0.set_prefetch(prefetch).await
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        self.0.receive(max, wait).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        self.0.settle(settlements).await
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        self.0.extend(receipts).await
    }

    async fn pause(&self) -> Result<()> {
        self.0.pause().await
    }

    async fn stop(&self) -> Result<()> {
        self.0.stop().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[async_trait]
impl<M: PublisherMutant> MessagePublisher for Wrapped<M> {
    fn exchange(&self) -> &str {
        self.0.inner().exchange()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        self.0.publish(batch).await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[async_trait]
impl<M: BrokerMutant> Broker for Wrapped<M> {
    fn capabilities(&self, kind: QueueKind) -> Capabilities {
        self.0.capabilities(kind)
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.0.declare(topology).await
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        self.0.compare(topology).await
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        self.0.provider(queue, options).await
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        self.0.publisher(exchange, options).await
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        self.0.stats(queue).await
    }

    async fn queues(&self) -> Result<Vec<String>> {
        self.0.queues().await
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        self.0.peek(queue, max).await
    }

    async fn describe(&self) -> Result<ServerInfo> {
        self.0.describe().await
    }

    async fn purge(&self, queue: &str) -> Result<u64> {
        self.0.purge(queue).await
    }

    async fn delete(&self, queue: &str) -> Result<()> {
        self.0.delete(queue).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.inner().ping().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
