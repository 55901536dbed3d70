//! Brokers that die.

use std::time::Duration;

use anyhow::{Result, bail};
use redis::Value;
use swarrot_conformance::brokers::{BrokerError, Redis};
use tokio::task::block_in_place;

use super::Stage;
use super::server::ask;
use crate::target::Servers;

/// For each step of a failover, on a busy machine.
const FAILOVER: Duration = Duration::from_secs(150);

pub(super) async fn kill(stage: &mut Stage<'_>) -> Result<()> {
    let down = Duration::from_millis(stage.rng.u64(0..2000));
    block_in_place(|| match &stage.target.servers {
        Servers::RabbitMq(node) => node.kill(),
        Servers::Redis(server) => server.kill(),
        Servers::Cluster(_) | Servers::Sentinel(_) => Ok(()),
    })?;
    stage.crew.pass(down).await?;
    match &stage.target.servers {
        Servers::RabbitMq(node) => stage.meanwhile(|| node.restart()),
        Servers::Redis(server) => stage.meanwhile(|| server.restart()),
        Servers::Cluster(_) | Servers::Sentinel(_) => bail!("there is no single server"),
    }
}

pub(super) async fn kill_next_node(stage: &mut Stage<'_>) -> Result<()> {
    let Servers::Cluster(cluster) = &stage.target.servers else { bail!("there is no cluster") };
    let node = &cluster.nodes()[stage.struck % cluster.nodes().len()];
    block_in_place(|| node.kill())?;
    stage.crew.pass(stage.target.pace.node_down()).await?;
    stage.meanwhile(|| node.restart())
}

/// The fault is over when the replica is the master and the dead one is back.
pub(super) async fn fail_over(stage: &mut Stage<'_>) -> Result<()> {
    let Servers::Sentinel(group) = &stage.target.servers else { bail!("there is no sentinel") };
    let [one, other] = group.servers();
    let (master, replica) = if role(one).await? == "master" { (one, other) } else { (other, one) };
    block_in_place(|| master.kill())?;
    if !until_role(stage, replica, "master").await? {
        bail!("the sentinel did not make the replica the master");
    }
    block_in_place(|| master.restart())?;
    if !until_role(stage, master, "slave").await? {
        bail!("the master of before did not become a replica");
    }
    // A failover that comes before it has caught up would promote half of the messages.
    for _ in 0..100 {
        if ask::<String>(&master.url(), "INFO replication").await?.contains("master_link_status:up") {
            return Ok(());
        }
        stage.crew.pass(Duration::from_millis(200)).await?;
    }
    bail!("the new replica does not catch up");
}

async fn until_role(stage: &mut Stage<'_>, server: &Redis, wanted: &str) -> Result<bool> {
    let end = tokio::time::Instant::now() + FAILOVER;
    while role(server).await.unwrap_or_default() != wanted {
        if tokio::time::Instant::now() > end {
            return Ok(false);
        }
        stage.crew.pass(Duration::from_millis(200)).await?;
    }
    Ok(true)
}

async fn role(server: &Redis) -> Result<String> {
    let answer: Vec<Value> = ask(&server.url(), "ROLE").await?;
    match answer.first() {
        Some(Value::BulkString(role)) => Ok(String::from_utf8_lossy(role).into_owned()),
        other => bail!("ROLE answered {other:?}"),
    }
}

impl Stage<'_> {
    /// Does something with a broker, such as starting it, while the processes are looked after.
    pub(super) fn meanwhile(&mut self, start: impl FnOnce() -> Result<(), BrokerError> + Send) -> Result<()> {
        let crew = &mut *self.crew;
        let (done, mut over) = tokio::sync::oneshot::channel();
        std::thread::scope(|scope| {
            let starting = scope.spawn(move || {
                let result = start();
                let _ = done.send(());
                result
            });
            let handle = tokio::runtime::Handle::current();
            block_in_place(|| {
                handle.block_on(async {
                    while over.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                        crew.pass(Duration::from_millis(100)).await?;
                    }
                    anyhow::Ok(())
                })
            })?;
            let started = starting.join().map_err(|_| anyhow::anyhow!("the thread that starts a broker panicked"))?;
            Ok(started?)
        })
    }
}
