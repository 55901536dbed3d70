//! The broker itself.

use std::num::NonZeroUsize;
use std::sync::Arc;

use swarrot_core::topology::{Comparison, QueueKind, Topology, check_name};
use swarrot_core::{
    Broker, BrokerUrl, Capabilities, Error, Message, MessageProvider, MessagePublisher, ProviderOptions,
    PublisherOptions, QueueStats, Result, ServerInfo, async_trait,
};
use tokio::time::Instant;

use crate::config::{Builder, Profile, UrlConfig};
use crate::connection::{Handle, Shared};
use crate::faults::Faults;
use crate::provider::MemoryProvider;
use crate::publisher::MemoryPublisher;

/// A connection to a broker in this process. Clones are the same connection.
///
/// All of it runs on tokio's clock and does its work in the calls of its users. None of its calls fails for lack of a
/// network, and each takes effect as a whole at once, so that a dropped call has taken effect or not.
#[derive(Clone, Debug)]
pub struct MemoryBroker {
    pub(crate) shared: Arc<Shared>,
    handle: Arc<Handle>,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBroker {
    /// A fresh broker of the profile [`Profile::Amqp`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A fresh broker of this profile.
    pub fn with_profile(profile: Profile) -> Self {
        Self::builder().profile(profile).build()
    }

    /// A fresh broker with further options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_builder(options: Builder) -> Self {
        Self::on(Shared::new(options), false)
    }

    fn on(shared: Arc<Shared>, passive: bool) -> Self {
        let handle = Handle::new(&shared, passive);
        Self { shared, handle }
    }

    /// A connection by URL: `memory://` is a fresh broker, `memory://name` the one of that name in this process, which
    /// lives as long as anything is connected to it. `?profile=amqp` (the default) or `?profile=streams&lease=30s`
    /// choose the [`Profile`]; with `?topology=passive` a declaration creates nothing, but checks that all of it exists.
    ///
    /// # Errors
    /// [`InvalidInput`](swarrot_core::ErrorKind::InvalidInput) for a URL that says something else, and
    /// [`Conflict`](swarrot_core::ErrorKind::Conflict) if the broker of that name has another profile.
    pub fn connect(url: &BrokerUrl) -> Result<Self> {
        let UrlConfig { name, profile, passive } = UrlConfig::parse(url)?;
        let shared = match name {
            Some(name) => Shared::named(&name, profile)?,
            None => Shared::new(Builder::default().profile(profile.unwrap_or_default())),
        };
        Ok(Self::on(shared, passive))
    }

    /// Another connection to the same broker: closing one leaves what the other made.
    pub fn reconnect(&self) -> Self {
        Self::on(Arc::clone(&self.shared), self.handle.passive)
    }

    /// This broker, as programs hold it that run on any.
    pub fn into_dyn(self) -> Arc<dyn Broker> {
        Arc::new(self)
    }

    /// Makes things go wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(&self.shared)
    }

    /// Runs an operation on the state, at this moment, unless the connection is closed.
    fn with<T>(&self, operation: &'static str, run: impl FnOnce(&mut crate::state::State) -> Result<T>) -> Result<T> {
        let mut state = self.shared.lock();
        self.handle.check().and_then(|()| run(&mut state)).map_err(|error: Error| error.with_operation(operation))
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn capabilities(&self, _kind: QueueKind) -> Capabilities {
        self.shared.lock().profile().capabilities()
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        let passive = self.handle.passive;
        self.with("declare", |state| if passive { state.verify(topology) } else { state.declare(topology) })
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        self.with("compare", |state| state.compare(topology))
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        let provider =
            check_name(queue).and_then(|()| MemoryProvider::new(&self.shared, &self.handle, queue, &options));
        Ok(Arc::new(provider.map_err(|error| error.with_operation("provider"))?))
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        let checked = if exchange.is_empty() { Ok(()) } else { check_name(exchange) };
        let publisher = checked.and_then(|()| MemoryPublisher::new(&self.shared, &self.handle, exchange, options));
        Ok(Arc::new(publisher.map_err(|error| error.with_operation("publisher"))?))
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        self.with("stats", |state| state.stats(queue, Instant::now()))
    }

    async fn queues(&self) -> Result<Vec<String>> {
        self.with("queues", |state| Ok(state.names()))
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        self.with("peek", |state| state.peek(queue, max, Instant::now()))
    }

    async fn describe(&self) -> Result<ServerInfo> {
        self.with("describe", |state| {
            let capabilities = state.profile().capabilities();
            let mut info = ServerInfo::default();
            "swarrot-memory".clone_into(&mut info.product);
            env!("CARGO_PKG_VERSION").clone_into(&mut info.version);
            info.capabilities = vec![(QueueKind::Quorum, capabilities), (QueueKind::Classic, capabilities)];
            info.warnings = vec!["messages live in this process and end with it".to_owned()];
            Ok(info)
        })
    }

    async fn purge(&self, queue: &str) -> Result<u64> {
        self.with("purge", |state| state.purge(queue, Instant::now()))
    }

    async fn delete(&self, queue: &str) -> Result<()> {
        self.with("delete", |state| {
            state.delete(queue);
            Ok(())
        })
    }

    async fn ping(&self) -> Result<()> {
        self.with("ping", |_| Ok(()))
    }

    async fn close(&self) -> Result<()> {
        {
            let mut state = self.shared.lock();
            self.handle.close();
            state.leave_all(self.handle.id, Instant::now());
        }
        self.shared.gate.notify_waiters();
        Ok(())
    }
}
