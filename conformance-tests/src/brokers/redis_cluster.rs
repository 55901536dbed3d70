//! A private Redis Cluster.

use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::BrokerError;
use super::ports::Port;
use super::redis::Redis;
use super::redis_client::Client;
use super::start::Start;

const NODES: u16 = 3;
const SLOTS: u16 = 16_384;
/// A busy machine takes a while; nodes that will never find each other should still fail a test.
const READY: Duration = Duration::from_secs(90);
/// A node forgets one that it was told of when they do not shake hands within the node timeout.
const MEET_AGAIN: Duration = Duration::from_secs(3);
/// Of what a node says of its cluster: the state, the slots and the nodes.
const LINES: usize = 7;
const POLL: Duration = Duration::from_millis(20);

/// A private Redis Cluster of three masters without replicas; see [the module](super) for what ends it.
///
/// Every call blocks the thread.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    /// Where they talk to each other.
    buses: Vec<Port>,
}

impl RedisCluster {
    /// Starts the nodes, each in a folder of its own, and waits until the cluster answers: a second or two.
    ///
    /// # Errors
    /// As [`Redis::start`], or if the nodes do not find each other.
    pub fn start(start: &Start) -> Result<Self, BrokerError> {
        let start = start
            .clone()
            .config("cluster-enabled yes")
            .config("cluster-node-timeout 2000")
            .config("cluster-require-full-coverage no");
        let mut cluster = Self { nodes: Vec::new(), buses: Vec::new() };
        for _ in 0..NODES {
            let bus = Port::any().map_err(BrokerError::io("find a free port for Redis"))?;
            cluster.nodes.push(Redis::start(&start.clone().config(format!("cluster-port {}", bus.number())))?);
            cluster.buses.push(bus);
        }
        cluster.join().map_err(BrokerError::io("join the nodes of a Redis Cluster"))?;
        Ok(cluster)
    }

    /// Where its nodes are.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.nodes.iter().map(Redis::addr)
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The URL of the cluster, with all its nodes.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.addrs().map(|addr| addr.to_string()).collect();
        format!("redis+cluster://{}/", hosts.join(","))
    }

    /// Kills all nodes with SIGKILL, and waits until they are dead.
    ///
    /// # Errors
    /// If one does not die.
    pub fn kill(&self) -> Result<(), BrokerError> {
        self.nodes.iter().try_for_each(Redis::kill)
    }

    /// Starts all nodes again with the same data and ports, and waits until the cluster answers. Kills first what runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), BrokerError> {
        self.kill()?;
        self.nodes.iter().try_for_each(Redis::restart)?;
        // They have kept who the others are.
        let whole = self.clients().and_then(|mut clients| wait_until_whole(&mut clients, |_| Ok(())));
        whole.map_err(BrokerError::io("join the nodes of a Redis Cluster"))
    }

    fn join(&self) -> io::Result<()> {
        let mut clients = self.clients()?;
        let share = SLOTS / NODES;
        for (client, node) in clients.iter_mut().zip(0..NODES) {
            let last = if node == NODES - 1 { SLOTS - 1 } else { (node + 1) * share - 1 };
            client.ok(&["CLUSTER", "SET-CONFIG-EPOCH", &(node + 1).to_string()])?;
            client.ok(&["CLUSTER", "ADDSLOTSRANGE", &(node * share).to_string(), &last.to_string()])?;
        }
        wait_until_whole(&mut clients, |clients| self.introduce(clients))
    }

    /// Tells each node where the others are.
    fn introduce(&self, clients: &mut [Client]) -> io::Result<()> {
        for client in clients {
            for (other, bus) in self.addrs().zip(&self.buses) {
                let (port, bus) = (other.port().to_string(), bus.number().to_string());
                client.ok(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            }
        }
        Ok(())
    }

    fn clients(&self) -> io::Result<Vec<Client>> {
        self.addrs().map(Client::connect).collect()
    }
}

/// Waits until all nodes know each other at once; introduces them to each other as often as it takes.
fn wait_until_whole(clients: &mut [Client], introduce: impl Fn(&mut [Client]) -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        introduce(clients)?;
        let again = Instant::now() + MEET_AGAIN;
        while Instant::now() < again {
            let infos = clients.iter_mut().map(|client| client.bulk(&["CLUSTER", "INFO"]));
            let infos = infos.collect::<io::Result<Vec<_>>>()?;
            if infos.iter().all(|info| is_whole(info)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let said = infos.iter().map(|info| info.lines().take(LINES).collect::<Vec<_>>().join(" "));
                let said = said.collect::<Vec<_>>().join(" | ");
                return Err(io::Error::other(format!("they did not find each other within {READY:?}: {said}")));
            }
            sleep(POLL);
        }
    }
}

fn is_whole(info: &str) -> bool {
    let has = |line: &str| info.lines().any(|l| l.trim_end() == line);
    has("cluster_state:ok") && has(&format!("cluster_known_nodes:{NODES}")) && has(&format!("cluster_size:{NODES}"))
}
