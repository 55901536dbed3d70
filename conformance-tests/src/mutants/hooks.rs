//! Where a fault can be put in.

use std::sync::Arc;

use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, Capabilities, Delivery, MessageProvider, MessagePublisher, Outcome, Outgoing, ProviderOptions,
};

use super::limited::Refusals;

/// Wraps a provider; the broker is there to make what else it takes.
pub(super) type WrapProvider = fn(Arc<dyn MessageProvider>, &Arc<dyn Broker>) -> Arc<dyn MessageProvider>;
/// Wraps a publisher.
pub(super) type WrapPublisher = fn(Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher>;
/// Wraps a broker.
pub(super) type WrapBroker = fn(Arc<dyn Broker>) -> Arc<dyn Broker>;
/// Changes the results of a batch.
pub(super) type Results = Vec<swarrot_core::Result<()>>;

/// Where a fault can be put in; what is `None` is forwarded as it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Hooks {
    /// What is claimed, by the harness and by the backend.
    pub(super) claims: Option<fn(&mut Capabilities)>,
    /// What is declared.
    pub(super) topology: Option<fn(&mut Topology)>,
    /// What a provider is asked to be.
    pub(super) options: Option<fn(ProviderOptions) -> ProviderOptions>,
    /// What is published.
    pub(super) outgoing: Option<fn(&mut Outgoing)>,
    /// What is said about it.
    pub(super) results: Option<fn(Results) -> Results>,
    /// What is received.
    pub(super) deliveries: Option<fn(Vec<Delivery>) -> Vec<Delivery>>,
    /// What is settled: `None` settles nothing and says that it did.
    pub(super) outcome: Option<fn(Outcome) -> Option<Outcome>>,
    /// Whatever takes more.
    pub(super) provider: Option<WrapProvider>,
    /// Whatever takes more.
    pub(super) publisher: Option<WrapPublisher>,
    /// Whatever takes more.
    pub(super) broker: Option<WrapBroker>,
    /// A backend that claims nothing, and refuses this.
    pub(super) limited: Option<Refusals>,
}

impl Hooks {
    pub(super) const NONE: Self = Self {
        claims: None,
        topology: None,
        options: None,
        outgoing: None,
        results: None,
        deliveries: None,
        outcome: None,
        provider: None,
        publisher: None,
        broker: None,
        limited: None,
    };
}

/// Changes each queue of a topology.
pub(super) fn each_queue(topology: &mut Topology, change: impl FnMut(&mut Queue)) {
    topology.queues.iter_mut().for_each(change);
}

/// A delivery like this one, with another message.
pub(super) fn with_message(delivery: &Delivery, message: swarrot_core::Message) -> Delivery {
    Delivery::new(delivery.queue(), delivery.receipt(), message)
        .routed(delivery.exchange(), delivery.routing_key())
        .delivered(delivery.redelivered(), delivery.delivery_count())
}
