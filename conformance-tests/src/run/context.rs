//! What a case gets: the harness, names of its own, and whatever it opened to be closed behind it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    BoxError, Broker, Capabilities, DeadLetter, MessageProvider, MessagePublisher, ProviderOptions, PublisherOptions,
    message::names,
};
use tokio::time::timeout;

use super::Case;
use crate::faults::FaultyBroker;
use crate::harness::Harness;
use crate::support::Ledger;

/// How long each step of the cleaning up may take: a case may have left a broken broker.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// What a case gets.
#[derive(Debug)]
pub(crate) struct Context {
    harness: Arc<dyn Harness>,
    faulty: Option<Arc<dyn FaultyBroker>>,
    namespace: String,
    may_duplicate: bool,
    slack: u32,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    brokers: Vec<Arc<dyn Broker>>,
    queues: Vec<String>,
}

/// What most cases begin with: a connection, an empty queue, a publisher to the default exchange, a provider.
pub(crate) struct Setup {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) queue: String,
    pub(crate) publisher: Arc<dyn MessagePublisher>,
    pub(crate) provider: Arc<dyn MessageProvider>,
}

impl Context {
    pub(super) async fn new(harness: Arc<dyn Harness>, case: &Case, slack: u32) -> Result<Self, BoxError> {
        let faulty = if case.breaks_the_broker() && harness.faults() != crate::Faults::NONE {
            Some(harness.faulty().await?)
        } else {
            None
        };
        let random = fastrand::u64(..);
        Ok(Self {
            harness,
            faulty,
            namespace: format!("{}-{random:016x}", case.name()),
            may_duplicate: case.may_duplicate(),
            slack,
            opened: Mutex::default(),
        })
    }

    /// What the backend claims.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.harness.capabilities()
    }

    /// The harness.
    pub(crate) fn harness(&self) -> &dyn Harness {
        &*self.harness
    }

    /// The broker to break.
    pub(crate) fn faulty(&self) -> &dyn FaultyBroker {
        self.faulty.as_deref().expect("the case is marked as one that breaks the broker")
    }

    /// The broker to break, where the harness has one.
    pub(crate) fn faulty_if_any(&self) -> Option<&dyn FaultyBroker> {
        self.faulty.as_deref()
    }

    /// A limit of time, longer on a machine that is busy with other cases.
    pub(crate) fn slack(&self, limit: Duration) -> Duration {
        limit * self.slack
    }

    /// Counts messages, and knows whether this case may see duplicates.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.may_duplicate)
    }

    /// A name of this case's own.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.namespace)
    }

    /// A new connection: to the broker to break, in a case that does so.
    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        let broker = self.connect_to_crash().await;
        self.opened().brokers.push(Arc::clone(&broker));
        broker
    }

    /// A new connection that nobody closes: it ends when the case drops it.
    pub(crate) async fn connect_to_crash(&self) -> Arc<dyn Broker> {
        let connected = match &self.faulty {
            Some(faulty) => faulty.connect().await,
            None => self.harness.connect().await,
        };
        connected.unwrap_or_else(|error| panic!("cannot connect: {error}"))
    }

    /// A queue to declare, of the harness's kind.
    pub(crate) fn queue_to_declare(&self, suffix: &str) -> Queue {
        let queue = self.harness.queue(&self.name(suffix));
        if self.capabilities().dead_letter { queue } else { queue.dead_letter(DeadLetter::Drop) }
    }

    /// Declares, and forgets it all when the case ends.
    pub(crate) async fn try_declare(&self, broker: &dyn Broker, topology: &Topology) -> swarrot_core::Result<()> {
        for queue in &topology.queues {
            self.opened().queues.push(queue.name.clone());
        }
        broker.declare(topology).await
    }

    /// Declares, and forgets it all when the case ends.
    pub(crate) async fn declare(&self, broker: &dyn Broker, topology: &Topology) {
        self.try_declare(broker, topology).await.unwrap_or_else(|error| panic!("cannot declare: {error:?}"));
    }

    /// A new empty queue.
    pub(crate) async fn queue(&self, broker: &dyn Broker, suffix: &str) -> String {
        let queue = self.queue_to_declare(suffix);
        let name = queue.name.clone();
        self.declare(broker, &Topology::new().queue(queue)).await;
        name
    }

    /// A new empty queue for three messages, and a publisher to it that soon gives up where it is full.
    pub(crate) async fn small_queue(&self, broker: &dyn Broker) -> (String, Arc<dyn MessagePublisher>) {
        let small = self.queue_to_declare("small").max_length(3);
        let name = small.name.clone();
        self.declare(broker, &Topology::new().queue(small)).await;
        let options = PublisherOptions::default().timeout(Duration::from_secs(2));
        let made = broker.publisher("", options).await;
        (name, made.unwrap_or_else(|error| panic!("no publisher with a short timeout: {error:?}")))
    }

    /// A provider of a queue.
    pub(crate) async fn provider(&self, broker: &dyn Broker, queue: &str) -> Arc<dyn MessageProvider> {
        self.provider_with(broker, queue, ProviderOptions::default()).await
    }

    /// A provider of a queue that holds at most this many unsettled deliveries.
    pub(crate) async fn provider_holding(
        &self,
        broker: &dyn Broker,
        queue: &str,
        prefetch: u16,
    ) -> Arc<dyn MessageProvider> {
        let prefetch = prefetch.try_into().expect("not zero");
        self.provider_with(broker, queue, ProviderOptions::default().prefetch(prefetch)).await
    }

    /// A provider of a queue with these options.
    pub(crate) async fn provider_with(
        &self,
        broker: &dyn Broker,
        queue: &str,
        options: ProviderOptions,
    ) -> Arc<dyn MessageProvider> {
        // Where there are no dead letters a provider cannot be asked to park.
        let options = if self.capabilities().dead_letter { options } else { options.dead_letter(DeadLetter::Drop) };
        broker.provider(queue, options).await.unwrap_or_else(|error| panic!("no provider of {queue:?}: {error:?}"))
    }

    /// A publisher to an exchange; the empty name is the default one.
    pub(crate) async fn publisher(&self, broker: &dyn Broker, exchange: &str) -> Arc<dyn MessagePublisher> {
        let made = broker.publisher(exchange, PublisherOptions::default()).await;
        made.unwrap_or_else(|error| panic!("no publisher to {exchange:?}: {error:?}"))
    }

    /// A connection, an empty queue, a publisher and a provider.
    pub(crate) async fn setup(&self) -> Setup {
        let broker = self.connect().await;
        let queue = self.queue(&*broker, "q").await;
        let publisher = self.publisher(&*broker, "").await;
        let provider = self.provider(&*broker, &queue).await;
        Setup { broker, queue, publisher, provider }
    }

    /// Heals the broker, deletes what was declared, closes what was opened. A step that fails is said on stderr and
    /// fails nothing: the case has its verdict.
    pub(super) async fn clean_up(&self) {
        let Opened { brokers, queues } =
            std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(faulty) = &self.faulty {
            let faults = self.harness.faults();
            if faults.cut || faults.freeze {
                attempt("heal", faulty.heal()).await;
            }
            if faults.block {
                attempt("unblock", faulty.unblock()).await;
            }
        }
        for broker in &brokers {
            attempt("close", async { Ok(broker.close().await?) }).await;
        }
        if queues.is_empty() {
            return;
        }
        attempt("delete the queues", async {
            let broker = match &self.faulty {
                Some(faulty) => faulty.connect().await?,
                None => self.harness.connect().await?,
            };
            for queue in &queues {
                broker.delete(queue).await?;
                broker.delete(&names::dead_letter_queue(queue)).await?;
            }
            Ok(broker.close().await?)
        })
        .await;
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn attempt(what: &str, step: impl Future<Output = Result<(), BoxError>>) {
    match timeout(CLEAN_UP, step).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("cleaning up: cannot {what}: {error}"),
        Err(_) => eprintln!("cleaning up: cannot {what} within {CLEAN_UP:?}"),
    }
}
