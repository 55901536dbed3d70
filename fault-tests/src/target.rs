//! The brokers that are broken.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use swarrot_conformance::brokers::{RabbitMq, RabbitMqCluster, Redis, RedisSentinel, Start};
use swarrot_conformance::proxy::Proxy;
use tokio::task::block_in_place;

use crate::load::Keeping;
use crate::pace::Pace;

/// A backend, and how its broker is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// One RabbitMQ node, a classic queue
    AmqpClassic,
    /// One RabbitMQ node, a quorum queue
    AmqpQuorum,
    /// Three RabbitMQ nodes, a quorum queue
    AmqpCluster,
    /// One Redis server, `appendfsync always`
    Redis,
    /// One Redis server, `appendfsync everysec`
    RedisEverysec,
    /// A Redis master with a replica, `min-replicas-to-write 1`, and a sentinel
    RedisSentinel,
}

/// How the names of RabbitMQ's delay queues begin.
const DELAY_QUEUES: &str = "swarrot.delay.";

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AmqpClassic => "amqp-classic",
            Self::AmqpQuorum => "amqp-quorum",
            Self::AmqpCluster => "amqp-cluster",
            Self::Redis => "redis",
            Self::RedisEverysec => "redis-everysec",
            Self::RedisSentinel => "redis-sentinel",
        }
    }

    pub(crate) fn is_amqp(self) -> bool {
        matches!(self, Self::AmqpClassic | Self::AmqpQuorum | Self::AmqpCluster)
    }

    /// Whether there is one server, which takes all with it when it dies.
    pub(crate) fn is_single(self) -> bool {
        !matches!(self, Self::AmqpCluster | Self::RedisSentinel)
    }

    /// Whether its clients go through a proxy. A sentinel tells them where the servers are.
    pub(crate) fn has_proxy(self) -> bool {
        self != Self::RedisSentinel
    }

    /// Whether the broker counts deliveries, so that a message that ends its worker can be told.
    pub(crate) fn counts_deliveries(self) -> bool {
        self != Self::AmqpClassic
    }

    pub(crate) fn keeping(self) -> Keeping {
        if self == Self::AmqpClassic { Keeping::Classic } else { Keeping::Quorum }
    }
}

/// The servers of a backend, with proxies before them.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) backend: Backend,
    pub(crate) pace: Pace,
    pub(crate) servers: Servers,
    pub(crate) proxies: Vec<Proxy>,
}

#[derive(Debug)]
pub(crate) enum Servers {
    RabbitMq(RabbitMq),
    Cluster(RabbitMqCluster),
    Redis(Redis),
    Sentinel(RedisSentinel),
}

impl Target {
    pub(crate) async fn start(backend: Backend, pace: Pace) -> Result<Self> {
        let servers = block_in_place(|| Servers::start(backend, pace)).context("cannot start the broker")?;
        let mut proxies = Vec::new();
        if backend.has_proxy() {
            for addr in servers.addrs() {
                proxies.push(Proxy::start(addr).await.context("cannot start a proxy")?);
            }
        }
        Ok(Self { backend, pace, servers, proxies })
    }

    /// The URL for publishers and workers.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.proxies.iter().map(|proxy| proxy.addr().to_string()).collect();
        // A dead connection is to be noticed within one fault.
        let (heartbeat, timeout) = (self.pace.heartbeat(), self.pace.timeout());
        match &self.servers {
            Servers::RabbitMq(_) | Servers::Cluster(_) => format!("amqp://{}/?heartbeat={heartbeat}", hosts.join(",")),
            Servers::Redis(_) => format!("redis://{}/0?lease=3s&timeout={timeout}s", hosts.join(",")),
            Servers::Sentinel(group) => format!("{}&lease=3s&timeout={timeout}s&replicas=1", group.url()),
        }
    }

    /// Whether messages wait in RabbitMQ's delay queues. Redis keeps those beside their queue, where they are handled or deleted.
    pub(crate) fn holds_delayed(&self) -> Result<bool> {
        let node = match &self.servers {
            Servers::RabbitMq(node) => node,
            Servers::Cluster(cluster) => cluster.nodes().first().context("the cluster has no nodes")?,
            Servers::Redis(_) | Servers::Sentinel(_) => return Ok(false),
        };
        let queues = block_in_place(|| node.ctl(&["list_queues", "--no-table-headers", "name", "messages"]))?;
        let holds = |line: &str| line.starts_with(DELAY_QUEUES) && !line.ends_with("\t0");
        Ok(queues.lines().any(holds))
    }

    /// The URL that leads to the servers themselves.
    pub(crate) fn direct_url(&self) -> String {
        match &self.servers {
            Servers::RabbitMq(node) => node.url(),
            Servers::Cluster(cluster) => cluster.url(),
            Servers::Redis(server) => server.url(),
            Servers::Sentinel(group) => group.url(),
        }
    }
}

impl Servers {
    fn start(backend: Backend, pace: Pace) -> Result<Self> {
        let always = Start::new().config("appendfsync always");
        let mut rabbitmq = Start::new();
        if let Some(time) = pace.passing_on() {
            let name = "dead_letter_worker_publisher_confirm_timeout";
            rabbitmq = rabbitmq.advanced(format!("{{rabbit, [{{{name}, {}}}]}}", time.as_millis()));
        }
        Ok(match backend {
            Backend::AmqpClassic | Backend::AmqpQuorum => Self::RabbitMq(RabbitMq::start(&rabbitmq)?),
            Backend::AmqpCluster => Self::Cluster(RabbitMqCluster::start(&rabbitmq)?),
            Backend::Redis => Self::Redis(Redis::start(&always)?),
            Backend::RedisEverysec => Self::Redis(Redis::start(&Start::new().config("appendfsync everysec"))?),
            Backend::RedisSentinel => {
                // A master that comes back before the sentinel has found out would confirm what it then throws away.
                let group = RedisSentinel::start(&always.config("min-replicas-to-write 1"))?;
                group.bear_load()?;
                Self::Sentinel(group)
            }
        })
    }

    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        match self {
            Self::RabbitMq(node) => vec![node.addr()],
            Self::Cluster(cluster) => cluster.nodes().iter().map(RabbitMq::addr).collect(),
            Self::Redis(server) => vec![server.addr()],
            Self::Sentinel(group) => group.servers().iter().map(Redis::addr).collect(),
        }
    }
}
