//! The servers behind the suite, and what breaks them.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, Value, cmd};
use swarrot_conformance::brokers::{BrokerError, Redis, RedisCluster, Start};
use swarrot_conformance::proxy::{Direction, Proxy};
use swarrot_conformance::{Faults, FaultyBroker};
use swarrot_core::{BoxError, Broker, async_trait};
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// How long a busy machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Outlives the cases, each of which has a runtime of its own.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime"));

/// The servers of one harness: some for all cases, and more of the kind to break.
pub(crate) struct Servers {
    /// Where cases connect that break nothing.
    pub(crate) url: String,
    pub(crate) faults: Faults,
    shared: Kind,
    broken: Kind,
    /// Before those to break, where the harness has one.
    breaker: Option<Proxy>,
    /// Before those that nobody breaks.
    _front: Option<Proxy>,
}

enum Kind {
    Single(Redis),
    Cluster(RedisCluster),
}

/// What a harness without a proxy can do.
const WITHOUT_PROXY: Faults =
    Faults { restart: true, block: true, close_all_connections: true, cut: false, freeze: false };

/// Servers that keep what they have confirmed when they are killed. With `everysec` a second or two can be missing while the
/// disk is busy: Redis then answers before it has written.
fn durable() -> Start {
    Start::new().config("appendfsync always")
}

fn single() -> Redis {
    Redis::start(&durable()).expect("a server")
}

fn proxy(target: SocketAddr) -> Proxy {
    // A case that is the first to ask has a runtime of its own, in which no other can be waited for.
    let started = std::thread::spawn(move || RUNTIME.block_on(Proxy::start(target)));
    started.join().expect("no panic").expect("a proxy")
}

fn url(address: SocketAddr) -> String {
    format!("redis://{address}/0")
}

impl Servers {
    pub(crate) fn direct() -> &'static Self {
        static DIRECT: LazyLock<Servers> = LazyLock::new(|| {
            let (shared, broken) = (single(), single());
            let (url, shared, broken) = (url(shared.addr()), Kind::Single(shared), Kind::Single(broken));
            Servers { url, faults: WITHOUT_PROXY, shared, broken, breaker: None, _front: None }
        });
        &DIRECT
    }

    pub(crate) fn proxied() -> &'static Self {
        static PROXIED: LazyLock<Servers> = LazyLock::new(|| {
            let (shared, broken) = (single(), single());
            let (front, breaker) = (proxy(shared.addr()), proxy(broken.addr()));
            let faults = Faults { cut: true, freeze: true, ..WITHOUT_PROXY };
            let (url, shared, broken) = (url(front.addr()), Kind::Single(shared), Kind::Single(broken));
            Servers { url, faults, shared, broken, breaker: Some(breaker), _front: Some(front) }
        });
        &PROXIED
    }

    pub(crate) fn cluster() -> &'static Self {
        static CLUSTER: LazyLock<Servers> = LazyLock::new(|| {
            let [shared, broken] = [0, 1].map(|_| RedisCluster::start(&durable()).expect("a cluster"));
            let (url, shared, broken) = (shared.url(), Kind::Cluster(shared), Kind::Cluster(broken));
            Servers { url, faults: WITHOUT_PROXY, shared, broken, breaker: None, _front: None }
        });
        &CLUSTER
    }

    /// Runs a command as a foreign program would.
    pub(crate) async fn run(&self, command: &Cmd) -> Result<Value, BoxError> {
        match &self.shared {
            Kind::Single(server) => run(server, command).await,
            Kind::Cluster(cluster) => {
                let nodes: Vec<String> = cluster.addrs().map(|address| format!("redis://{address}")).collect();
                let client = redis::cluster::ClusterClient::builder(nodes)
                    .response_timeout(PATIENCE)
                    .connection_timeout(PATIENCE)
                    .build()?;
                Ok(command.query_async(&mut client.get_async_connection().await?).await?)
            }
        }
    }
}

async fn run(server: &Redis, command: &Cmd) -> Result<Value, BoxError> {
    let client = redis::Client::open(server.url())?;
    let config =
        AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE)).set_connection_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(command.query_async(&mut connection).await?)
}

impl Kind {
    fn url(&self) -> String {
        match self {
            Self::Single(server) => url(server.addr()),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    fn servers(&self) -> &[Redis] {
        match self {
            Self::Single(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    fn kill(&self) -> Result<(), BrokerError> {
        match self {
            Self::Single(server) => server.kill(),
            Self::Cluster(cluster) => cluster.kill(),
        }
    }

    fn restart(&self) -> Result<(), BrokerError> {
        match self {
            Self::Single(server) => server.restart(),
            Self::Cluster(cluster) => cluster.restart(),
        }
    }
}

/// The servers that one case at a time breaks.
pub(crate) struct Breakable(&'static Servers);

impl std::fmt::Debug for Breakable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.broken.url())
    }
}

impl Breakable {
    /// They, whole again.
    pub(crate) async fn whole(servers: &'static Servers) -> Result<Self, BoxError> {
        let breakable = Self(servers);
        if servers.broken.servers().iter().any(|server| server.pid().is_none()) {
            breakable.restart().await?;
        }
        if servers.breaker.is_some() {
            breakable.heal().await?;
        }
        breakable.unblock().await?;
        Ok(breakable)
    }

    /// Does something with the proxy on the runtime where it lives.
    async fn with_proxy<F, T>(&self, act: impl FnOnce(&'static Proxy) -> F) -> Result<T, BoxError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let proxy = self.0.breaker.as_ref().ok_or("there is no proxy")?;
        Ok(RUNTIME.spawn(act(proxy)).await?)
    }

    async fn blocking(&self, act: fn(&Kind) -> Result<(), BrokerError>) -> Result<(), BoxError> {
        let servers = self.0;
        Ok(spawn_blocking(move || act(&servers.broken)).await??)
    }

    async fn each(&self, command: &Cmd) -> Result<Vec<Value>, BoxError> {
        let mut answers = Vec::new();
        for server in self.0.broken.servers() {
            answers.push(run(server, command).await?);
        }
        Ok(answers)
    }

    async fn max_memory(&self, bytes: &str) -> Result<(), BoxError> {
        self.each(cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes)).await.map(drop)
    }
}

#[async_trait]
impl FaultyBroker for Breakable {
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        let direct = || self.0.broken.url();
        crate::connect(&self.0.breaker.as_ref().map_or_else(direct, |proxy| url(proxy.addr()))).await
    }

    async fn cut(&self) -> Result<(), BoxError> {
        self.with_proxy(|proxy| async move {
            proxy.refuse(true).await?;
            proxy.cut().await;
            Ok::<_, std::io::Error>(())
        })
        .await??;
        Ok(())
    }

    async fn freeze(&self) -> Result<(), BoxError> {
        self.with_proxy(|proxy| async move {
            proxy.freeze(Direction::ToClient);
            proxy.freeze(Direction::ToServer);
        })
        .await
    }

    async fn heal(&self) -> Result<(), BoxError> {
        self.with_proxy(|proxy| async move {
            proxy.thaw();
            proxy.refuse(false).await
        })
        .await??;
        Ok(())
    }

    async fn kill(&self) -> Result<(), BoxError> {
        self.blocking(Kind::kill).await
    }

    async fn restart(&self) -> Result<(), BoxError> {
        self.blocking(Kind::restart).await
    }

    async fn block(&self) -> Result<(), BoxError> {
        self.max_memory("1").await
    }

    async fn unblock(&self) -> Result<(), BoxError> {
        self.max_memory("0").await
    }

    async fn close_all_connections(&self) -> Result<(), BoxError> {
        self.each(cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes")).await.map(drop)
    }

    async fn connections(&self) -> Result<Option<usize>, BoxError> {
        let mut count = 0;
        for list in self.each(cmd("CLIENT").arg("LIST").arg("TYPE").arg("normal")).await? {
            let Value::BulkString(list) = list else { return Ok(None) };
            // Without the one that asks.
            count += String::from_utf8_lossy(&list).lines().count().saturating_sub(1);
        }
        Ok(Some(count))
    }

    async fn delay_objects(&self) -> Result<Option<usize>, BoxError> {
        // A delay needs no object of its own: all that a queue holds back is in one sorted set, which goes with the last.
        let mut keys = 0;
        for found in self.each(cmd("KEYS").arg("*:delayed")).await? {
            let Value::Array(found) = found else { return Ok(None) };
            keys += found.len();
        }
        Ok(Some(keys))
    }
}
