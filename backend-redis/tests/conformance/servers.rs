//! The servers behind the suite, and what breaks them.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use redis::{Cmd, Value, cmd};
use swarrot_conformance::brokers::{Redis, RedisCluster, Start};
use swarrot_conformance::proxy::{Direction, Proxy};
use swarrot_conformance::{Faults, FaultyBroker};
use swarrot_core::{BoxError, Broker, async_trait};
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// Outlives the cases, each of which has a runtime of its own.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime"));

/// The servers of one harness: some for all cases, and one more to break.
pub(crate) struct Servers {
    /// Where cases connect that break nothing.
    pub(crate) url: String,
    pub(crate) faults: Faults,
    shared: Kind,
    /// A server of its own to break, behind a proxy where the harness has one.
    broken: Option<(Arc<Redis>, Option<Arc<Proxy>>)>,
    _proxy: Option<Proxy>,
}

enum Kind {
    Single(Redis),
    Cluster(RedisCluster),
}

/// A server that keeps what it has confirmed when it is killed. With `everysec` a second or two can be missing while the disk
/// is busy: Redis then answers before it has written.
fn start() -> Redis {
    Redis::start(&Start::new().config("appendfsync always")).expect("a server")
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
            let shared = start();
            let faults = Faults { restart: true, block: true, close_all_connections: true, ..Faults::NONE };
            let broken = Some((Arc::new(start()), None));
            Servers { url: url(shared.addr()), faults, shared: Kind::Single(shared), broken, _proxy: None }
        });
        &DIRECT
    }

    pub(crate) fn proxied() -> &'static Self {
        static PROXIED: LazyLock<Servers> = LazyLock::new(|| {
            let (shared, broken) = (start(), start());
            let (front, breaker) = (proxy(shared.addr()), proxy(broken.addr()));
            let faults = Faults { cut: true, freeze: true, restart: true, block: true, close_all_connections: true };
            let (url, broken) = (url(front.addr()), Some((Arc::new(broken), Some(Arc::new(breaker)))));
            Servers { url, faults, shared: Kind::Single(shared), broken, _proxy: Some(front) }
        });
        &PROXIED
    }

    pub(crate) fn cluster() -> &'static Self {
        static CLUSTER: LazyLock<Servers> = LazyLock::new(|| {
            let cluster = RedisCluster::start(&Start::new()).expect("a cluster");
            Servers {
                url: cluster.url(),
                faults: Faults::NONE,
                shared: Kind::Cluster(cluster),
                broken: None,
                _proxy: None,
            }
        });
        &CLUSTER
    }

    /// Runs a command as a foreign program would.
    pub(crate) async fn run(&self, command: &Cmd) -> Result<Value, BoxError> {
        match &self.shared {
            Kind::Single(server) => run(server, command).await,
            Kind::Cluster(cluster) => {
                let nodes: Vec<String> = cluster.addrs().map(|address| format!("redis://{address}")).collect();
                let client = redis::cluster::ClusterClient::new(nodes)?;
                Ok(command.query_async(&mut client.get_async_connection().await?).await?)
            }
        }
    }
}

async fn run(server: &Redis, command: &Cmd) -> Result<Value, BoxError> {
    let client = redis::Client::open(server.url())?;
    Ok(command.query_async(&mut client.get_multiplexed_async_connection().await?).await?)
}

/// The server that one case at a time breaks.
#[derive(Debug)]
pub(crate) struct Breakable {
    server: Arc<Redis>,
    proxy: Option<Arc<Proxy>>,
}

impl Breakable {
    /// That server, whole again.
    pub(crate) async fn whole(servers: &'static Servers) -> Result<Self, BoxError> {
        let (server, proxy) = servers.broken.clone().ok_or("there is no server to break")?;
        let breakable = Self { server, proxy };
        if breakable.server.pid().is_none() {
            breakable.restart().await?;
        }
        if breakable.proxy.is_some() {
            breakable.heal().await?;
        }
        breakable.unblock().await?;
        Ok(breakable)
    }

    /// Does something with the proxy on the runtime where it lives.
    async fn with_proxy<F, T>(&self, act: impl FnOnce(Arc<Proxy>) -> F) -> Result<T, BoxError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let proxy = self.proxy.clone().ok_or("there is no proxy")?;
        Ok(RUNTIME.spawn(act(proxy)).await?)
    }

    async fn blocking(
        &self,
        act: fn(&Redis) -> Result<(), swarrot_conformance::brokers::BrokerError>,
    ) -> Result<(), BoxError> {
        let server = Arc::clone(&self.server);
        Ok(spawn_blocking(move || act(&server)).await??)
    }

    async fn max_memory(&self, bytes: &str) -> Result<(), BoxError> {
        run(&self.server, cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes)).await.map(drop)
    }
}

#[async_trait]
impl FaultyBroker for Breakable {
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        let address = self.proxy.as_ref().map_or_else(|| self.server.addr(), |proxy| proxy.addr());
        crate::connect(&url(address)).await
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
        self.blocking(Redis::kill).await
    }

    async fn restart(&self) -> Result<(), BoxError> {
        self.blocking(Redis::restart).await
    }

    async fn block(&self) -> Result<(), BoxError> {
        self.max_memory("1").await
    }

    async fn unblock(&self) -> Result<(), BoxError> {
        self.max_memory("0").await
    }

    async fn close_all_connections(&self) -> Result<(), BoxError> {
        run(&self.server, cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes")).await.map(drop)
    }

    async fn connections(&self) -> Result<Option<usize>, BoxError> {
        let list = run(&self.server, cmd("CLIENT").arg("LIST")).await?;
        let Value::BulkString(list) = list else { return Ok(None) };
        // Without the one that asks.
        Ok(Some(String::from_utf8_lossy(&list).lines().count().saturating_sub(1)))
    }
}
