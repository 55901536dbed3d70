//! A harness whose connections go through a mutant.

use std::io;
use std::sync::Arc;

use swarrot_core::topology::{Queue, QueueKind, Topology};
use swarrot_core::{
    BoxError, Broker, Capabilities, Delivery, MessageProvider, MessagePublisher, Outgoing, ProviderOptions,
    PublisherOptions, Result, ServerInfo, SettleError, Settlement, async_trait,
};
use tokio::runtime::Runtime;

use super::hooks::Hooks;
use super::limited::{Limited, Refusals};
use super::wrap::{BrokerMutant, ProviderMutant, PublisherMutant, Wrapped};
use crate::faults::{Faults, FaultyBroker};
use crate::harness::Harness;

/// A harness whose connections go through the hooks of a mutant.
#[derive(Debug)]
pub(super) struct WrappedHarness {
    inner: Arc<dyn Harness>,
    name: String,
    hooks: Hooks,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl WrappedHarness {
    pub(super) fn new(inner: Arc<dyn Harness>, hooks: Hooks) -> Self {
        let name = inner.name().to_owned();
        Self { inner, name, hooks }
    }

    /// A backend that claims nothing and refuses what it does not claim.
    pub(super) fn limited(inner: Arc<dyn Harness>) -> Self {
        let hooks = Hooks { limited: Some(Refusals::ALL), ..Hooks::NONE };
        Self { name: format!("{}-limited", inner.name()), ..Self::new(inner, hooks) }
    }
}

fn wrap(broker: Arc<dyn Broker>, hooks: Hooks) -> Arc<dyn Broker> {
    if let Some(refusals) = hooks.limited {
        return Arc::new(Wrapped(Limited::new(broker, refusals)));
    }
    let broker = hooks.broker.map_or_else(|| Arc::clone(&broker), |wrap| wrap(Arc::clone(&broker)));
    Arc::new(Wrapped(HookedBroker { inner: broker, hooks }))
}

fn claims(mut honest: Capabilities, hooks: &Hooks) -> Capabilities {
    if hooks.limited.is_some() {
        return Limited::claims(honest);
    }
    if let Some(change) = hooks.claims {
        change(&mut honest);
    }
    honest
}

#[async_trait]
impl Harness for WrappedHarness {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        claims(self.inner.capabilities(), &self.hooks)
    }

    fn queue(&self, name: &str) -> Queue {
        self.inner.queue(name)
    }

    fn runtime(&self) -> io::Result<Runtime> {
        self.inner.runtime()
    }

    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        Ok(wrap(self.inner.connect().await?, self.hooks))
    }

    async fn raw_publish(&self, queue: &str, body: &[u8]) -> Result<(), BoxError> {
        self.inner.raw_publish(queue, body).await
    }

    fn faults(&self) -> Faults {
        self.inner.faults()
    }

    async fn faulty(&self) -> Result<Arc<dyn FaultyBroker>, BoxError> {
        Ok(Arc::new(WrappedFaulty { inner: self.inner.faulty().await?, hooks: self.hooks }))
    }
}

#[derive(Debug)]
struct WrappedFaulty {
    inner: Arc<dyn FaultyBroker>,
    hooks: Hooks,
}

#[async_trait]
impl FaultyBroker for WrappedFaulty {
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        Ok(wrap(self.inner.connect().await?, self.hooks))
    }

    async fn cut(&self) -> Result<(), BoxError> {
        self.inner.cut().await
    }

    async fn freeze(&self) -> Result<(), BoxError> {
        self.inner.freeze().await
    }

    async fn heal(&self) -> Result<(), BoxError> {
        self.inner.heal().await
    }

    async fn kill(&self) -> Result<(), BoxError> {
        self.inner.kill().await
    }

    async fn restart(&self) -> Result<(), BoxError> {
        self.inner.restart().await
    }

    async fn block(&self) -> Result<(), BoxError> {
        self.inner.block().await
    }

    async fn unblock(&self) -> Result<(), BoxError> {
        self.inner.unblock().await
    }

    async fn close_all_connections(&self) -> Result<(), BoxError> {
        self.inner.close_all_connections().await
    }

    async fn connections(&self) -> Result<Option<usize>, BoxError> {
        self.inner.connections().await
    }

    async fn delay_objects(&self) -> Result<Option<usize>, BoxError> {
        self.inner.delay_objects().await
    }
}

#[derive(Debug)]
struct HookedBroker {
    inner: Arc<dyn Broker>,
    hooks: Hooks,
}

#[async_trait]
impl BrokerMutant for HookedBroker {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.inner
    }

    fn capabilities(&self, kind: QueueKind) -> Capabilities {
        claims(self.inner.capabilities(kind), &self.hooks)
    }

    async fn describe(&self) -> Result<ServerInfo> {
        let mut info = self.inner.describe().await?;
        info.capabilities.iter_mut().for_each(|(_, honest)| *honest = claims(*honest, &self.hooks));
        Ok(info)
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        let mut topology = topology.clone();
        if let Some(change) = self.hooks.topology {
            change(&mut topology);
        }
        self.inner.declare(&topology).await
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        let options = self.hooks.options.map_or_else(|| options.clone(), |change| change(options.clone()));
        let inner = self.inner.provider(queue, options).await?;
        let inner =
            self.hooks.provider.map_or_else(|| Arc::clone(&inner), |wrap| wrap(Arc::clone(&inner), &self.inner));
        Ok(Arc::new(Wrapped(HookedProvider { inner, hooks: self.hooks })))
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        let inner = self.inner.publisher(exchange, options).await?;
        let inner = self.hooks.publisher.map_or_else(|| Arc::clone(&inner), |wrap| wrap(Arc::clone(&inner)));
        Ok(Arc::new(Wrapped(HookedPublisher { inner, hooks: self.hooks })))
    }
}

#[derive(Debug)]
struct HookedProvider {
    inner: Arc<dyn MessageProvider>,
    hooks: Hooks,
}

#[async_trait]
impl ProviderMutant for HookedProvider {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    fn capabilities(&self) -> Capabilities {
        claims(self.inner.capabilities(), &self.hooks)
    }

    async fn receive(&self, max: std::num::NonZeroUsize, wait: std::time::Duration) -> Result<Vec<Delivery>> {
        let deliveries = self.inner.receive(max, wait).await?;
        Ok(self.hooks.deliveries.map_or_else(|| deliveries.clone(), |change| change(deliveries.clone())))
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let Some(change) = self.hooks.outcome else { return self.inner.settle(settlements).await };
        let changed: Vec<_> = settlements
            .iter()
            .filter_map(|s| change(s.outcome.clone()).map(|outcome| Settlement::new(s.receipt, outcome)))
            .collect();
        self.inner.settle(&changed).await
    }
}

#[derive(Debug)]
struct HookedPublisher {
    inner: Arc<dyn MessagePublisher>,
    hooks: Hooks,
}

#[async_trait]
impl PublisherMutant for HookedPublisher {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    fn capabilities(&self) -> Capabilities {
        claims(self.inner.capabilities(), &self.hooks)
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let mut batch = batch.to_vec();
        if let Some(change) = self.hooks.outgoing {
            batch.iter_mut().for_each(change);
        }
        let results = self.inner.publish(&batch).await;
        self.hooks.results.map_or_else(|| results.clone(), |change| change(results.clone()))
    }
}
