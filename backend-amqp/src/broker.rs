//! A RabbitMQ server or cluster.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{QueueDeleteOptions, QueuePurgeOptions};
use swarrot_core::message::names;
use swarrot_core::topology::{Comparison, QueueKind, Topology, check_name};
use swarrot_core::{
    Broker, BrokerUrl, Capabilities, Error, ErrorKind, Message, MessageProvider, MessagePublisher, ProviderOptions,
    PublisherOptions, QueueStats, Result, ServerInfo, Value,
};

use crate::config::Config;
use crate::connection::{Link, Role, Server, closed};
use crate::convert::short;
use crate::provider::AmqpProvider;
use crate::publisher::{AmqpPublisher, COPY_TIMEOUT};
use crate::topology::{Desk, Remembered, capabilities, compare, inspect, inspect_exchange, missing, queues_on};

/// Purging and deleting a long queue takes its time.
const LONG_CALL: Duration = Duration::from_secs(60);

/// A RabbitMQ server or cluster.
///
/// Cheap to clone: clones share their connections. Dropping the last clone does not close providers and publishers;
/// [`close`](Broker::close) does.
#[derive(Clone, Debug)]
pub struct AmqpBroker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    receive: Arc<Link>,
    publish: Arc<Link>,
    remembered: Arc<Remembered>,
    /// Publishes the copies that providers make.
    copies: OnceLock<Arc<AmqpPublisher>>,
    server: Mutex<Server>,
    providers: Mutex<Vec<Weak<AmqpProvider>>>,
    publishers: Mutex<Vec<Weak<AmqpPublisher>>>,
    closed: AtomicBool,
    /// Held while closing: whoever calls next finds all closed.
    closing: tokio::sync::Mutex<()>,
}

impl AmqpBroker {
    /// Connects to the server, or to one node of the cluster, that a URL names.
    ///
    /// `amqp://user:password@host:port,host:port/vhost?name=value`, or `amqps://` for TLS. Without a user it is `guest`,
    /// without a host `localhost`, and the ports are 5672 and 5671. An absent and an empty vhost both mean the vhost `/`,
    /// which can also be written `%2F`. Further parameters:
    ///
    /// | name | meaning |
    /// |---|---|
    /// | `name` | the service, as RabbitMQ's management shows it; the executable's name by default |
    /// | `heartbeat` | seconds after which a silent connection is suspect: 10; it counts as broken after twice that |
    /// | `connect_timeout` | seconds that one try to connect may take: 10 |
    /// | `topology` | `passive`: verify that exchanges and queues are there, never create them |
    /// | `cacert` | a PEM file of certificate authorities, beside those of the system |
    /// | `client_cert`, `client_key` | PEM files of the client's own certificate |
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a URL that is wrong, [`AccessRefused`](ErrorKind::AccessRefused) for
    /// credentials that are, [`NotFound`](ErrorKind::NotFound) for a virtual host that does not exist, and
    /// [`Connection`](ErrorKind::Connection) if no host answers.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection behind.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(url: &BrokerUrl) -> Result<Self> {
        let config = Arc::new(Config::parse(url)?);
        if config.exposes_credentials() {
            tracing::warn!("the credentials cross the network in clear; use amqps://");
        }
        let receive = Arc::new(Link::new(Arc::clone(&config), Role::Receive));
        let server = receive.server().await?;
        Ok(Self(Arc::new(Inner {
            publish: Arc::new(Link::new(Arc::clone(&config), Role::Publish)),
            receive,
            remembered: Arc::new(Remembered::new(config.passive)),
            config,
            copies: OnceLock::new(),
            server: Mutex::new(server),
            providers: Mutex::default(),
            publishers: Mutex::default(),
            closed: AtomicBool::new(false),
            closing: tokio::sync::Mutex::default(),
        })))
    }

    /// What a provider of a queue of this kind can do on RabbitMQ of this version, such as `4.3.0`, with no connection
    /// to ask.
    pub fn capabilities_on(kind: QueueKind, version: &str) -> Capabilities {
        capabilities(Some(kind), &Server::rabbitmq(version))
    }

    /// The queues of a topology, their dead-letter queues included, each with the arguments by which it would be declared on
    /// RabbitMQ of this version, such as `4.3.0`: for whoever declares them by other means.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what that version cannot do.
    pub fn queues_on(topology: &Topology, version: &str) -> Result<Vec<(String, BTreeMap<String, Value>)>> {
        queues_on(topology, &Server::rabbitmq(version))
    }

    fn server(&self) -> Server {
        self.0.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn new_publisher(&self, exchange: &str, options: PublisherOptions) -> Arc<AmqpPublisher> {
        let inner = &self.0;
        let links = (Arc::clone(&inner.publish), Arc::clone(&inner.receive));
        let capabilities = capabilities(None, &self.server());
        let publisher =
            Arc::new(AmqpPublisher::start(links, Arc::clone(&inner.remembered), exchange, options, capabilities));
        register(&inner.publishers, &publisher);
        publisher
    }

    fn check_open(&self) -> Result<()> {
        if self.0.closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(()) }
    }

    fn desk(&self) -> Desk<'_> {
        Desk::new(&self.0.receive)
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    fn capabilities(&self, kind: QueueKind) -> Capabilities {
        capabilities(Some(kind), &self.server())
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.0.remembered.declare(&self.0.receive, topology).await.map_err(|error| error.with_operation("declare"))
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        self.check_open()?;
        let passive = self.0.remembered.is_passive();
        compare(&mut self.desk(), topology, passive).await.map_err(|error| error.with_operation("compare"))
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        check_name(queue)?;
        self.check_open()?;
        inspect(&mut self.desk(), queue).await?;
        let inner = &self.0;
        let copies =
            inner.copies.get_or_init(|| self.new_publisher("", PublisherOptions::default().timeout(COPY_TIMEOUT)));
        let provider = Arc::new(AmqpProvider::start(
            Arc::clone(&inner.receive),
            Arc::clone(&inner.remembered),
            Arc::clone(copies),
            (queue, &inner.config.name),
            &options,
            self.server(),
        ));
        register(&inner.providers, &provider);
        Ok(provider)
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        if !exchange.is_empty() {
            check_name(exchange)?;
        }
        self.check_open()?;
        inspect_exchange(&mut self.desk(), exchange).await?;
        Ok(self.new_publisher(exchange, options))
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        check_name(queue)?;
        let mut desk = self.desk();
        let (ready, providers) = inspect(&mut desk, queue).await.map_err(|error| error.with_operation("count"))?;
        let mut stats = QueueStats::default();
        stats.ready = ready.into();
        stats.providers = Some(providers.into());
        stats.parked = match inspect(&mut desk, &names::dead_letter_queue(queue)).await {
            Ok((parked, _)) => Some(parked.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.with_operation("count")),
        };
        Ok(stats)
    }

    async fn queues(&self) -> Result<Vec<String>> {
        let message = "AMQP does not tell which queues there are; name them, or see `rabbitmqctl list_queues`";
        self.check_open()?;
        Err(Error::new(ErrorKind::Unsupported, message).with_operation("list queues"))
    }

    async fn peek(&self, queue: &str, _max: NonZeroUsize) -> Result<Vec<Message>> {
        let message = "AMQP cannot look at messages without taking them; receive and release them instead";
        Err(Error::new(ErrorKind::Unsupported, message).with_operation("peek").with_target(queue))
    }

    async fn describe(&self) -> Result<ServerInfo> {
        let server = self.0.receive.server().await.map_err(|error| error.with_operation("describe"))?;
        *self.0.server.lock().unwrap_or_else(PoisonError::into_inner) = server.clone();
        let mut info = ServerInfo::default();
        server.product().clone_into(&mut info.product);
        server.version().clone_into(&mut info.version);
        info.capabilities =
            [QueueKind::Quorum, QueueKind::Classic].map(|kind| (kind, capabilities(Some(kind), &server))).to_vec();
        if !server.is_at_least(3, 10) {
            info.warnings.push("quorum queues expire messages, and delays work, from RabbitMQ 3.10 on".to_owned());
        }
        if self.0.config.exposes_credentials() {
            info.warnings.push("the credentials cross the network in clear; use amqps://".to_owned());
        }
        if *self.0.publish.blocked().borrow() {
            info.warnings.push("the server takes no messages; it is short of memory or disk".to_owned());
        }
        Ok(info)
    }

    async fn purge(&self, queue: &str) -> Result<u64> {
        check_name(queue)?;
        let name = short(queue, "the queue's name")?;
        let purge =
            |channel: lapin::Channel| async move { channel.queue_purge(name, QueuePurgeOptions::default()).await };
        let purged = self.desk().call_for(LONG_CALL, "purge", queue, purge).await;
        purged.map(u64::from).map_err(|error| missing(error, queue, "queue"))
    }

    async fn delete(&self, queue: &str) -> Result<()> {
        check_name(queue)?;
        self.0.remembered.forget(queue);
        let name = short(queue, "the queue's name")?;
        let delete =
            |channel: lapin::Channel| async move { channel.queue_delete(name, QueueDeleteOptions::default()).await };
        match self.desk().call_for(LONG_CALL, "delete", queue, delete).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn ping(&self) -> Result<()> {
        // Opening a channel takes an answer from the server.
        let opened = self.0.receive.channel().await.map_err(|error| error.with_operation("ping"))?;
        drop(opened);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::SeqCst);
        let _closing = self.0.closing.lock().await;
        let mut result = Ok(());
        let providers = alive(&self.0.providers);
        let closing = providers.iter().map(|provider| provider.close());
        for closed in futures_util::future::join_all(closing).await {
            result = result.and(closed);
        }
        // After the providers: their copies need a publisher.
        let publishers = alive(&self.0.publishers);
        let closing = publishers.iter().map(|publisher| publisher.close());
        for closed in futures_util::future::join_all(closing).await {
            result = result.and(closed);
        }
        for link in [&self.0.receive, &self.0.publish] {
            result = result.and(link.close().await);
        }
        result.map_err(|error| error.with_operation("close"))
    }
}

/// Remembers what has to be closed with the broker, and forgets what is gone.
fn register<T>(list: &Mutex<Vec<Weak<T>>>, item: &Arc<T>) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.retain(|item| item.strong_count() > 0);
    list.push(Arc::downgrade(item));
}

fn alive<T>(list: &Mutex<Vec<Weak<T>>>) -> Vec<Arc<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
}

const _: fn() = || {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<AmqpBroker>();
};
