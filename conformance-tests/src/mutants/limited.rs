//! A backend that claims nothing.
//!
//! Few backends lack a capability that the tests of this repository could try; here is one that lacks all of them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::topology::{Comparison, QueueKind, Topology};
use swarrot_core::{
    Broker, Capabilities, DeadLetter, Delivery, Error, ErrorKind, Message, MessageProvider, MessagePublisher, Outcome,
    Outgoing, ProviderOptions, PublisherOptions, Result, ServerInfo, SettleError, Settlement, async_trait,
};

use super::hooks::each_queue;
use super::wrap::{BrokerMutant, ProviderMutant, PublisherMutant, Wrapped};
use super::wrapped_harness::WrappedHarness;
use crate::harness::Harness;

/// The same backend, but it claims nothing that it could refuse, and refuses it: what checks the cases about refusals.
/// The backend must not have leases, which nothing can take away from it.
pub fn limited(harness: impl Harness) -> impl Harness {
    WrappedHarness::limited(Arc::new(harness))
}

/// What a backend that claims nothing refuses. What it does not refuse it does in some weaker way, and does not say so.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub(super) struct Refusals {
    pub(super) priority: bool,
    pub(super) ttl: bool,
    pub(super) length_limit: bool,
    pub(super) browse: bool,
    pub(super) list: bool,
    pub(super) delay: bool,
    pub(super) dead_letter: bool,
    /// Not a refusal: counts of deliveries are left out.
    pub(super) delivery_count: bool,
    /// Not a refusal: nobody is told that a message went nowhere.
    pub(super) unroutable: bool,
}

impl Refusals {
    pub(super) const ALL: Self = Self {
        priority: true,
        ttl: true,
        length_limit: true,
        browse: true,
        list: true,
        delay: true,
        dead_letter: true,
        delivery_count: true,
        unroutable: true,
    };
}

#[derive(Debug)]
pub(super) struct Limited {
    inner: Arc<dyn Broker>,
    refuses: Refusals,
}

impl Limited {
    pub(super) fn new(inner: Arc<dyn Broker>, refuses: Refusals) -> Self {
        Self { inner, refuses }
    }

    /// What is left of what the backend claims.
    pub(super) fn claims(honest: Capabilities) -> Capabilities {
        let mut claims = Capabilities::NONE;
        claims.durable = honest.durable;
        claims.ordered = honest.ordered;
        claims.requeue_position = honest.requeue_position;
        claims.network = honest.network;
        claims
    }
}

/// Without what it would refuse.
fn weaker(topology: &Topology) -> Topology {
    let mut weaker = topology.clone();
    each_queue(&mut weaker, |queue| {
        queue.max_priority = None;
        queue.message_ttl = None;
        queue.max_length = None;
        queue.dead_letter = DeadLetter::Drop;
        queue.delivery_limit = None;
    });
    weaker
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend has no {what}"))
}

#[async_trait]
impl BrokerMutant for Limited {
    fn inner(&self) -> &Arc<dyn Broker> {
        &self.inner
    }

    fn capabilities(&self, kind: QueueKind) -> Capabilities {
        Self::claims(self.inner.capabilities(kind))
    }

    async fn describe(&self) -> Result<ServerInfo> {
        let mut info = self.inner.describe().await?;
        info.capabilities.iter_mut().for_each(|(_, honest)| *honest = Self::claims(*honest));
        Ok(info)
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        for queue in &topology.queues {
            let asked = [
                (queue.max_priority.is_some() && self.refuses.priority, "priorities"),
                (queue.message_ttl.is_some() && self.refuses.ttl, "messages that expire"),
                (queue.max_length.is_some() && self.refuses.length_limit, "length limits"),
                (queue.dead_letter == DeadLetter::Park && self.refuses.dead_letter, "dead letters"),
            ];
            if let Some((_, what)) = asked.iter().find(|(asked, _)| *asked) {
                return Err(unsupported(what).with_operation("declare").with_target(&queue.name));
            }
        }
        self.inner.declare(&weaker(topology)).await
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        self.inner.compare(&weaker(topology)).await
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        let parks = options.dead_letter == DeadLetter::Park;
        let inner = self.inner.provider(queue, options.dead_letter(DeadLetter::Drop)).await?;
        Ok(Arc::new(Wrapped(LimitedProvider { inner, refuses: self.refuses, parks })))
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        let inner = self.inner.publisher(exchange, options).await?;
        Ok(Arc::new(Wrapped(LimitedPublisher { inner, refuses: self.refuses })))
    }

    async fn queues(&self) -> Result<Vec<String>> {
        if self.refuses.list { Err(unsupported("list of queues")) } else { self.inner.queues().await }
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        if self.refuses.browse { Err(unsupported("way to look")) } else { self.inner.peek(queue, max).await }
    }
}

#[derive(Debug)]
struct LimitedProvider {
    inner: Arc<dyn MessageProvider>,
    refuses: Refusals,
    /// It was asked to park what is rejected.
    parks: bool,
}

#[async_trait]
impl ProviderMutant for LimitedProvider {
    fn inner(&self) -> &dyn MessageProvider {
        &*self.inner
    }

    fn capabilities(&self) -> Capabilities {
        Limited::claims(self.inner.capabilities())
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        let deliveries = self.inner.receive(max, wait).await?;
        if !self.refuses.delivery_count {
            return Ok(deliveries);
        }
        let uncounted = |delivery: Delivery| {
            let redelivered = delivery.redelivered();
            delivery.delivered(redelivered, None)
        };
        Ok(deliveries.into_iter().map(uncounted).collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let (mut failures, mut rest) = (Vec::new(), Vec::new());
        for settlement in settlements {
            let Settlement { receipt, outcome } = settlement.clone();
            match outcome {
                Outcome::Retry { after, .. } if !after.is_zero() && self.refuses.delay => {
                    failures.push((receipt, unsupported("delays")));
                }
                Outcome::Retry { reason, .. } => {
                    rest.push(Settlement::new(receipt, Outcome::Retry { after: Duration::ZERO, reason }));
                }
                Outcome::Reject { .. } if self.parks && self.refuses.dead_letter => {
                    failures.push((receipt, unsupported("dead letters")));
                }
                outcome => rest.push(Settlement::new(receipt, outcome)),
            }
        }
        if let Err(error) = self.inner.settle(&rest).await {
            failures.extend(error.into_failures());
        }
        SettleError::check(failures)
    }
}

#[derive(Debug)]
struct LimitedPublisher {
    inner: Arc<dyn MessagePublisher>,
    refuses: Refusals,
}

#[async_trait]
impl PublisherMutant for LimitedPublisher {
    fn inner(&self) -> &dyn MessagePublisher {
        &*self.inner
    }

    fn capabilities(&self) -> Capabilities {
        Limited::claims(self.inner.capabilities())
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(batch.len());
        for outgoing in batch {
            let delayed = outgoing.delay.is_some_and(|delay| !delay.is_zero());
            let refused = [
                (delayed && self.refuses.delay, "delays"),
                (outgoing.message.properties.ttl.is_some() && self.refuses.ttl, "messages that expire"),
            ];
            if let Some((_, what)) = refused.iter().find(|(asked, _)| *asked) {
                results.push(Err(unsupported(what)));
                continue;
            }
            let mut weaker = outgoing.clone();
            weaker.delay = None;
            weaker.message.properties.ttl = None;
            let result = self.inner.publish(&[weaker]).await.remove(0);
            results.push(match result {
                Err(error) if error.kind() == ErrorKind::Unroutable && self.refuses.unroutable => Ok(()),
                result => result,
            });
        }
        results
    }
}
