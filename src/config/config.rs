//! What a file says, and the connections made from it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use swarrot_core::gate::Gate;
use swarrot_core::layer::BoxStack;
use swarrot_core::topology::Topology;
use swarrot_core::{Broker, Error, ErrorKind, Result, Supervisor, Worker};
use tower_layer::{Identity, Stack};

use super::broker::ConfiguredBroker;
use super::error::ConfigError;
use super::file::{File, PublisherTable, SupervisorTable, WorkerEntry};
use super::gates::GateEntry;
use super::loader::Loader;
use super::publisher::{Open, Publish, Publisher};
use super::read::hint;
use super::worker;

/// A worker made from a file. Give it its [state](Worker::state) and [run](Worker::run) it; a layer that is added here is
/// within those of the file.
pub type ConfiguredWorker = Worker<Stack<BoxStack, Identity>>;

/// Brokers, publishers and workers as a file describes them. Clones share their connections.
///
/// A broker is connected when something first needs it, and then shared; its topology is declared before the first worker
/// or publisher of it, once.
#[derive(Clone)]
pub struct Config(Arc<Inner>);

struct Inner {
    brokers: Vec<(String, ConfiguredBroker)>,
    publishers: Vec<(String, Arc<PublisherTable>)>,
    workers: Vec<(String, WorkerEntry)>,
    gates: Vec<(String, GateEntry)>,
    supervisor: SupervisorTable,
    open: Open,
}

impl Config {
    /// Reads a file, such as `swarrot.toml`, or `swarrot.yaml` with the feature `yaml`. [`Loader`] does it with layers or variables of your own.
    ///
    /// # Errors
    /// If it cannot be read; otherwise all mistakes in it, each with its line and column.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Loader::new().load(path)
    }

    /// Reads a text in TOML.
    ///
    /// # Errors
    /// All mistakes in it, each with its line and column.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        Loader::new().parse(text)
    }

    pub(super) fn new(file: File) -> Self {
        let mut topologies = file.topology.0;
        let brokers = file.brokers.0.into_iter().map(|(name, address)| {
            let at = topologies.iter().position(|(of, _)| *of == name);
            let topology = at.map(|at| topologies.swap_remove(at).1);
            (name, ConfiguredBroker::new(address.0, topology))
        });
        let brokers = brokers.collect();
        let publishers = file.publishers.0.into_iter().map(|(name, table)| (name, Arc::new(table))).collect();
        Self(Arc::new(Inner {
            brokers,
            publishers,
            workers: file.workers.0,
            gates: file.gates.0,
            supervisor: file.supervisor,
            open: Open::default(),
        }))
    }

    /// The names of all brokers, in the order of the file.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        self.0.brokers.iter().map(|(name, _)| name.as_str())
    }

    /// The names of all workers, in the order of the file.
    pub fn workers(&self) -> impl Iterator<Item = &str> {
        self.0.workers.iter().map(|(name, _)| name.as_str())
    }

    /// All message types that can be published, in the order of the file.
    pub fn message_types(&self) -> impl Iterator<Item = &str> {
        self.0.publishers.iter().map(|(name, _)| name.as_str())
    }

    /// The queues of a worker, the one that is served first in front; `None` if there is no worker of that name.
    pub fn queues(&self, worker: &str) -> Option<Vec<&str>> {
        find(&self.0.workers, worker).map(|entry| entry.queues.names())
    }

    /// What the file says of the topology of a broker; `None` if there is no broker of that name.
    pub fn topology(&self, broker: &str) -> Option<&Topology> {
        find(&self.0.brokers, broker).map(ConfiguredBroker::topology)
    }

    /// The broker of this name, connected the first time and shared from then on. Nothing is declared.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if there is none of that name; otherwise as [`crate::connect`], and the
    /// next call tries again.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt to connect, or leaves it to another call that waits for the same.
    pub async fn connect(&self, broker: &str) -> Result<Arc<dyn Broker>> {
        self.broker(broker)?.connect().await
    }

    /// Declares the topology of a broker as the file says, unless it was done already. Workers and publishers see to it
    /// themselves.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`Broker::declare`]; the next call tries again.
    ///
    /// # Cancel safety
    /// As [`Broker::declare`]; it may be repeated.
    pub async fn declare(&self, broker: &str) -> Result<()> {
        self.broker(broker)?.ready().await.map(drop)
    }

    /// A worker as the file describes it, connected to its queue. Each call makes another one.
    ///
    /// ```no_run
    /// # async fn handle(body: String) {}
    /// # async fn run() -> Result<(), swarrot::BoxError> {
    /// let config = swarrot::config::Config::load("swarrot.toml")?;
    /// let report = config.worker("mails").await?.state("a mailer").run(handle).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if there is none of that name; otherwise as [`declare`](Self::declare)
    /// and [`Broker::provider`].
    ///
    /// # Cancel safety
    /// Dropping the future drops what it has opened; a broker that was connected by then stays so.
    pub async fn worker(&self, name: &str) -> Result<ConfiguredWorker> {
        let workers = &self.0.workers;
        let entry = find(workers, name).ok_or_else(|| unknown("worker", name, workers))?;
        let broker = self.broker(&entry.broker)?.ready().await?;
        let gates = entry.keys.gates.iter().filter_map(|name| self.gate(&name.0));
        worker::make(&*broker, entry, gates).await
    }

    /// The gate of this name, such as to look at it; `None` if there is none.
    pub fn gate(&self, name: &str) -> Option<Arc<dyn Gate>> {
        find(&self.0.gates, name).map(|entry| Arc::clone(&entry.0))
    }

    /// A supervisor as the file describes it, without workers as yet.
    ///
    /// ```no_run
    /// # async fn handle(body: String) {}
    /// # async fn run() -> Result<(), swarrot::BoxError> {
    /// let config = swarrot::config::Config::load("swarrot.toml")?;
    /// let mails = config.clone();
    /// let supervisor = config.supervisor().worker("mails", move || {
    ///     let config = mails.clone();
    ///     async move { Ok::<_, swarrot::Error>(config.worker("mails").await?.ready(handle)) }
    /// });
    /// println!("{}", supervisor.run().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn supervisor(&self) -> Supervisor {
        self.0.supervisor.make()
    }

    /// A publisher for messages of this type, where the file says that they go.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if there is no such type; otherwise as [`declare`](Self::declare) and
    /// [`Broker::publisher`].
    ///
    /// # Cancel safety
    /// As [`worker`](Self::worker).
    pub async fn publisher(&self, message_type: &str) -> Result<Publisher> {
        let publishers = &self.0.publishers;
        let table = find(publishers, message_type).ok_or_else(|| unknown("message type", message_type, publishers))?;
        Publisher::open(self, message_type, table).await
    }

    /// Publishes one message of this type.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher) and [`Publisher::publish`].
    ///
    /// # Cancel safety
    /// A dropped call has published the message, or not.
    pub async fn publish(&self, message_type: &str, message: impl Into<Publish>) -> Result<()> {
        self.publisher(message_type).await?.publish(message).await
    }

    /// Closes all brokers that were connected, with their providers and publishers. Idempotent.
    ///
    /// # Errors
    /// The first one that a broker answers; all are closed all the same.
    ///
    /// # Cancel safety
    /// It may be repeated.
    pub async fn close(&self) -> Result<()> {
        let mut result = Ok(());
        for (_, broker) in &self.0.brokers {
            result = result.and(broker.close().await);
        }
        result
    }

    pub(super) fn open(&self) -> &Open {
        &self.0.open
    }

    pub(super) fn broker(&self, name: &str) -> Result<&ConfiguredBroker> {
        find(&self.0.brokers, name).ok_or_else(|| unknown("broker", name, &self.0.brokers))
    }
}

fn find<'a, T>(named: &'a [(String, T)], name: &str) -> Option<&'a T> {
    named.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn unknown<T>(what: &str, name: &str, known: &[(String, T)]) -> Error {
    let hint = hint(name, known.iter().map(|(name, _)| name.as_str()));
    Error::new(ErrorKind::InvalidInput, format!("there is no {what} {name:?} in the configuration{hint}"))
}

/// Names alone.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("brokers", &self.brokers().collect::<Vec<_>>())
            .field("message_types", &self.message_types().collect::<Vec<_>>())
            .field("workers", &self.workers().collect::<Vec<_>>())
            .finish()
    }
}
