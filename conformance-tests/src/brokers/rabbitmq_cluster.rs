//! Three private RabbitMQ nodes that form a cluster.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::error::BrokerError;
use super::home::Home;
use super::ports::Port;
use super::rabbitmq::{Mapper, RabbitMq};
use super::start::Start;

const NODES: u16 = 3;
/// A busy machine takes a minute.
const JOIN_WAIT: Duration = Duration::from_secs(180);
const COOKIE: &str = ".erlang.cookie";

/// A private cluster of three RabbitMQ nodes on this machine; a node that loses sight of the others pauses. See
/// [the module](super) for what ends them.
///
/// Every call blocks the thread.
#[derive(Debug)]
pub struct RabbitMqCluster {
    nodes: Vec<RabbitMq>,
    mapper: Daemon,
    _port: Port,
    // Last: it deletes the folder.
    _home: Home,
}

impl RabbitMqCluster {
    /// Starts all three together, and waits until they have found each other: some twenty to sixty seconds.
    ///
    /// # Errors
    /// As [`RabbitMq::start`], or if they do not find each other.
    pub fn start(start: &Start) -> Result<Self, BrokerError> {
        let home = Home::make("rabbitmq-cluster", &Start::new())?;
        let port = Port::any().map_err(BrokerError::io("find a free port for RabbitMQ"))?;
        let mapper = Mapper { dir: home.dir().to_owned(), port: port.number() };
        let mut config = start.clone().config("cluster_formation.peer_discovery_backend = classic_config");
        for place in 1..=NODES {
            config =
                config.config(format!("cluster_formation.classic_config.nodes.{place} = swarrot{place}@localhost"));
        }
        let config = config.config("cluster_partition_handling = pause_minority");
        let mut nodes = Vec::new();
        for place in 1..=NODES {
            let node = RabbitMq::prepare(&config, place, &mapper)?;
            // Who knows the cookie is let in; left to themselves, each would make up one of its own.
            let cookie = node.dir().join(COOKIE);
            fs::write(&cookie, format!("SWARROT{}", port.number()))
                .and_then(|()| fs::set_permissions(&cookie, Permissions::from_mode(0o400)))
                .map_err(BrokerError::io("write the cookie of a cluster"))?;
            nodes.push(node);
        }
        nodes[0].start_mapper()?;
        let mapper = Daemon::new(home.dir(), "epmd");
        let cluster = Self { nodes, mapper, _port: port, _home: home };
        thread::scope(|scope| {
            let starts: Vec<_> = cluster.nodes.iter().map(|node| scope.spawn(|| node.restart())).collect();
            starts.into_iter().try_for_each(|start| start.join().unwrap_or(Err(BrokerError::Unkillable(0))))
        })?;
        cluster.wait_until_joined()?;
        Ok(cluster)
    }

    /// The nodes. One that is killed and restarted joins the others again.
    pub fn nodes(&self) -> &[RabbitMq] {
        &self.nodes
    }

    /// The URL of its default virtual host, with all nodes.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        format!("amqp://guest:guest@{}/%2f", hosts.join(","))
    }

    fn wait_until_joined(&self) -> Result<(), BrokerError> {
        let deadline = Instant::now() + JOIN_WAIT;
        let count = "length([node() | nodes()]).";
        loop {
            let running = self.nodes[0].ctl(&["eval", count])?;
            if running == NODES.to_string() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(BrokerError::Ctl { command: format!("eval {count}"), output: running });
            }
        }
    }
}

impl Drop for RabbitMqCluster {
    fn drop(&mut self) {
        self.nodes.clear();
        let _ = self.mapper.kill();
    }
}
