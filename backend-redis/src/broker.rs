//! The broker itself.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use redis::cmd;
use swarrot_core::message::names;
use swarrot_core::topology::{Comparison, QueueKind, Topology, check_name};
use swarrot_core::{
    Broker, BrokerUrl, Capabilities, Message, MessageProvider, MessagePublisher, ProviderOptions, PublisherOptions,
    QueueStats, Result, ServerInfo, async_trait,
};
use tracing::warn;

use crate::config::{Config, DEFAULT_LEASE, Mode};
use crate::connection::{Conn, Link, Replicas, Server};
use crate::error::{self, Named as _};
use crate::inspect;
use crate::provider::{RedisProvider, Shared};
use crate::publisher::RedisPublisher;
use crate::topology::{self, Router, Scope, tag};

/// A connection to Redis.
#[derive(Clone, Debug)]
pub struct RedisBroker(Arc<Core>);

/// What a broker's providers and publishers share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<Config>,
    /// To settle, and for all that is asked now and then.
    pub(crate) settle: Link,
    pub(crate) publish: Link,
    /// For what goes over that.
    pub(crate) replicas: Replicas,
    pub(crate) router: Router,
    /// What the names of its providers begin with.
    pub(crate) consumer: String,
    server: RwLock<Server>,
    /// What was declared, to be created again where it was lost.
    declared: Mutex<Topology>,
    /// What of that is known to be in its place, since the connection to publish over of this number: tags of queues, and an
    /// empty one for the routes, or for everything where all is on one server.
    in_place: Mutex<(u64, HashSet<String>)>,
    providers: Mutex<Vec<Weak<Shared>>>,
    publishers: Mutex<Vec<Weak<RedisPublisher>>>,
    closed: AtomicBool,
}

impl RedisBroker {
    /// Connects to a server, to the master that sentinels know, or to a cluster.
    ///
    /// | URL | what |
    /// |---|---|
    /// | `redis://user:password@host:6379/0` | one server; of several hosts, separated by commas, the first that is a master |
    /// | `redis+sentinel://host1,host2:26379/0?master=name` | the master of that name; user and password are the server's |
    /// | `redis+cluster://host1,host2` | a cluster, by any of its nodes |
    /// | `redis+unix:///run/redis.sock?db=0` | one server, through a socket |
    ///
    /// `rediss`, in place of `redis`, is through TLS. Parameters:
    ///
    /// | name | default | what |
    /// |---|---|---|
    /// | `lease` | `30s` | how long an unsettled delivery stays with a provider that does not extend it |
    /// | `prefix` | `swarrot` | what all keys begin with |
    /// | `name` | the program's | the connections' name, as `CLIENT LIST` shows it |
    /// | `connect_timeout`, `timeout` | `5s`, `10s` | for one try to connect; for one answer |
    /// | `replicas` | `0` | how many replicas have a message before it is confirmed (`WAIT`), so that no failover loses it; not for a cluster |
    /// | `topology` | `active` | `passive` verifies and never creates |
    /// | `db` | `0` | the database, where the path does not say it |
    /// | `cacert`, `client_cert`, `client_key` | the system's authorities | PEM files, for `rediss` |
    ///
    /// # Errors
    /// [`InvalidInput`](swarrot_core::ErrorKind::InvalidInput) for a URL that says something else;
    /// [`AccessRefused`](swarrot_core::ErrorKind::AccessRefused); [`Unsupported`](swarrot_core::ErrorKind::Unsupported) for a server before Redis 7.0; a
    /// temporary error if none can be reached. No error shows the password.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    pub async fn connect(url: &BrokerUrl) -> Result<Self> {
        let config = Arc::new(Config::parse(url).map_err(|error| error.with_operation("connect"))?);
        let settle = Link::new(Arc::clone(&config));
        let server = Server::ask(&settle, &config)
            .await
            .map_err(|error| error.with_operation("connect").with_target(config.place()))?;
        for warning in &server.warnings {
            warn!(server = %url, warning);
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self(Arc::new(Core {
            settle,
            publish: Link::new(Arc::clone(&config)),
            replicas: Replicas::new(config.replicas),
            router: Router::new(&config),
            consumer: format!("{}.{}.{}", config.name, host.trim(), std::process::id()),
            server: RwLock::new(server),
            declared: Mutex::default(),
            in_place: Mutex::default(),
            providers: Mutex::default(),
            publishers: Mutex::default(),
            closed: AtomicBool::new(false),
            config,
        })))
    }

    /// What a broker of this lease can do on one server that writes an append-only file, without asking one. `None` is the
    /// lease unless a URL says otherwise. A cluster does not tell which queues there are.
    pub fn capabilities_with(lease: Option<Duration>) -> Capabilities {
        Config::capabilities(lease.unwrap_or(DEFAULT_LEASE), true)
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    fn open(&self) -> Result<&Arc<Core>> {
        self.0.check_open().map(|()| &self.0)
    }
}

impl Core {
    pub(crate) fn capabilities(&self) -> Capabilities {
        let durable = self.server.read().unwrap_or_else(PoisonError::into_inner).durable;
        let mut can = Config::capabilities(self.config.lease, durable);
        // The nodes of a cluster would have to be asked one by one, while queues move between them.
        can.list = self.config.mode != Mode::Cluster;
        can
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) { Err(error::closed("broker")) } else { Ok(()) }
    }

    /// Creates a queue again that was lost, with all else that was declared through this broker.
    ///
    /// # Errors
    /// `NotFound` if this broker did not declare it, or may not.
    pub(crate) async fn restore(&self, queue: &str) -> Result<()> {
        let declared = lock(&self.declared).clone();
        let known = declared.queues.iter().any(|q| q.name == queue || names::dead_letter_queue(&q.name) == queue);
        if !known || self.config.passive {
            return Err(error::queue_not_found(queue));
        }
        warn!(queue, "the queue was lost; it is declared again");
        if self.config.mode == Mode::Cluster {
            // On another node, as a rule; if that one is away, who publishes next finds out.
            let _ = topology::declare_again(self, &declared, Scope::Routes).await;
        }
        topology::declare_again(self, &declared, self.scope(queue)).await
    }

    /// What has to be in its place for work with a queue.
    fn scope<'a>(&self, queue: &'a str) -> Scope<'a> {
        if self.config.mode == Mode::Cluster { Scope::Queues(tag(queue)) } else { Scope::All }
    }

    fn has_declared(&self, scope: Scope<'_>) -> bool {
        match scope {
            Scope::Queues(home) => lock(&self.declared).queues.iter().any(|queue| tag(&queue.name) == home),
            Scope::All | Scope::Routes => true,
        }
    }

    /// Declares a queue again that was declared through this broker, over a connection that was rebuilt: the server may have
    /// lost it.
    pub(crate) async fn declare_again(&self, queue: &str) -> Result<()> {
        self.declare_again_in(self.scope(queue)).await
    }

    async fn declare_again_in(&self, scope: Scope<'_>) -> Result<()> {
        let declared = lock(&self.declared).clone();
        if declared == Topology::new() || self.config.passive {
            return Ok(());
        }
        match topology::declare_again(self, &declared, scope).await {
            // Others have changed it: that is their right, and no reason to stop.
            Err(error) if !error.is_temporary() => {
                warn!(%error, "what was declared before could not be declared again");
                Ok(())
            }
            declared => declared,
        }
    }

    /// The connection to ask over where messages go, with exchanges and bindings in their place.
    pub(crate) async fn routing(&self) -> Result<(u64, Conn)> {
        self.publishing_with(if self.config.mode == Mode::Cluster { Scope::Routes } else { Scope::All }).await
    }

    /// The connection to publish over, with a queue in its place.
    pub(crate) async fn publishing(&self, queue: &str) -> Result<(u64, Conn)> {
        self.publishing_with(self.scope(queue)).await
    }

    async fn publishing_with(&self, scope: Scope<'_>) -> Result<(u64, Conn)> {
        let (epoch, connection) = self.publish.get().await?;
        // The first time too: what was declared over another connection may be lost by now. What was declared elsewhere is for
        // others to declare again.
        if self.has_declared(scope) {
            let name = if let Scope::Queues(tag) = scope { tag } else { "" };
            let known = {
                let in_place = lock(&self.in_place);
                in_place.0 > epoch || in_place.0 == epoch && in_place.1.contains(name)
            };
            if !known {
                // Several may do so at once, which does no harm.
                self.declare_again_in(scope).await?;
                let mut in_place = lock(&self.in_place);
                if in_place.0 < epoch {
                    *in_place = (epoch, HashSet::new());
                }
                if in_place.0 == epoch {
                    in_place.1.insert(name.to_owned());
                }
            }
        }
        Ok((epoch, connection))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers one more, and forgets those that are gone.
fn remember<T>(list: &Mutex<Vec<Weak<T>>>, one: &Arc<T>) {
    let mut list = lock(list);
    list.retain(|known| known.strong_count() > 0);
    list.push(Arc::downgrade(one));
}

#[async_trait]
impl Broker for RedisBroker {
    fn capabilities(&self, _kind: QueueKind) -> Capabilities {
        self.0.capabilities()
    }

    async fn declare(&self, topology: &Topology) -> Result<()> {
        let core = self.open()?;
        topology::declare(core, topology).await.map_err(|error| error.with_operation("declare"))?;
        lock(&core.declared).merge(topology);
        Ok(())
    }

    async fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        topology::compare(self.open()?, topology).await.map_err(|error| error.with_operation("compare"))
    }

    async fn provider(&self, queue: &str, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
        let core = self.open()?;
        check_name(queue).named("provider", queue)?;
        let provider = RedisProvider::new(core, queue, &options).await.named("provider", queue)?;
        remember(&core.providers, provider.shared());
        Ok(Arc::new(provider))
    }

    async fn publisher(&self, exchange: &str, options: PublisherOptions) -> Result<Arc<dyn MessagePublisher>> {
        let core = self.open()?;
        if !exchange.is_empty() {
            check_name(exchange).named("publisher", exchange)?;
        }
        let publisher = Arc::new(RedisPublisher::new(core, exchange, options).await.named("publisher", exchange)?);
        remember(&core.publishers, &publisher);
        Ok(publisher)
    }

    async fn stats(&self, queue: &str) -> Result<QueueStats> {
        check_name(queue).named("stats", queue)?;
        inspect::stats(self.open()?, queue).await.named("stats", queue)
    }

    async fn queues(&self) -> Result<Vec<String>> {
        inspect::queues(self.open()?).await.map_err(|error| error.with_operation("list queues"))
    }

    async fn peek(&self, queue: &str, max: NonZeroUsize) -> Result<Vec<Message>> {
        check_name(queue).named("peek", queue)?;
        inspect::peek(self.open()?, queue, max).await.named("peek", queue)
    }

    async fn describe(&self) -> Result<ServerInfo> {
        let core = self.open()?;
        let server = Server::ask(&core.settle, &core.config).await.map_err(|error| error.with_operation("describe"))?;
        *core.server.write().unwrap_or_else(PoisonError::into_inner) = server.clone();
        let mut info = ServerInfo::default();
        info.capabilities = [QueueKind::Quorum, QueueKind::Classic].map(|kind| (kind, core.capabilities())).into();
        (info.product, info.version, info.warnings) = (server.product, server.version, server.warnings);
        Ok(info)
    }

    async fn purge(&self, queue: &str) -> Result<u64> {
        check_name(queue).named("purge", queue)?;
        inspect::purge(self.open()?, queue).await.named("purge", queue)
    }

    async fn delete(&self, queue: &str) -> Result<()> {
        check_name(queue).named("delete", queue)?;
        let core = self.open()?;
        {
            // It is not to come back by itself.
            let mut declared = lock(&core.declared);
            declared.queues.retain(|q| q.name != queue);
            declared.bindings.retain(|b| b.queue != queue);
        }
        topology::delete(core, queue).await.named("delete", queue)
    }

    async fn ping(&self) -> Result<()> {
        let core = self.open()?;
        let answer: Result<String> = core.settle.ask_any(&cmd("PING")).await;
        answer.map(drop).map_err(|error| error.with_operation("ping"))
    }

    async fn close(&self) -> Result<()> {
        let core = &self.0;
        core.closed.store(true, Ordering::Relaxed);
        let publishers: Vec<_> = lock(&core.publishers).iter().filter_map(Weak::upgrade).collect();
        let providers: Vec<_> = lock(&core.providers).iter().filter_map(Weak::upgrade).collect();
        join_all(publishers.iter().map(|publisher| publisher.close())).await;
        let closed = join_all(providers.iter().map(|provider| provider.close())).await;
        core.settle.close().await;
        core.publish.close().await;
        closed.into_iter().collect::<Result<()>>().map_err(|error| error.with_operation("close"))
    }
}
