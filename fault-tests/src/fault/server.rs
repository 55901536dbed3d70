//! Servers that are in need, or in the hands of an operator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use swarrot::message::names::dead_letter_queue;
use swarrot_conformance::brokers::{RabbitMq, Redis};
use tokio::task::block_in_place;

use super::Stage;
use crate::ledger;
use crate::load::topology;
use crate::target::{Servers, Target};

pub(super) fn close_connections(stage: &Stage<'_>) -> Result<()> {
    block_in_place(|| rabbitmq(stage.target)?.ctl(&["close_all_connections", "a fault"]).map(drop).map_err(Into::into))
}

pub(super) async fn run_out_of_memory(stage: &mut Stage<'_>) -> Result<()> {
    if stage.target.backend.is_amqp() {
        let set = |mark: &str, alarms: &str| {
            format!("vm_memory_monitor:set_vm_memory_high_watermark({mark}), {alarms} = rabbit_alarm:get_alarms()")
        };
        return for_a_while(stage, &set("0.0", "[_ | _]"), &set("0.4", "[]"), stage.target.pace.in_need());
    }
    let servers = redis_servers(stage.target)?;
    for server in servers {
        ask::<()>(&server.url(), "CONFIG SET maxmemory 1mb").await?;
    }
    stage.crew.pass(stage.target.pace.in_need()).await?;
    for server in servers {
        ask::<()>(&server.url(), "CONFIG SET maxmemory 0").await?;
    }
    Ok(())
}

/// How long a busy machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The fault is over at once: to make the queue again is up to those who use it.
pub(super) async fn delete_queue(stage: &mut Stage<'_>) -> Result<()> {
    let broker = swarrot::connect(&stage.target.direct_url()).await?;
    broker.delete(stage.queue).await?;
    // What was sent before may have been in it.
    stage.deleted.push(ledger::now());
    broker.close().await?;
    Ok(())
}

pub(super) async fn delete_dead_letters(stage: &mut Stage<'_>) -> Result<()> {
    let broker = swarrot::connect(&stage.target.direct_url()).await?;
    broker.delete(&dead_letter_queue(stage.queue)).await?;
    stage.deleted.push(ledger::now());
    stage.crew.pass(stage.target.pace.no_parking()).await?;
    broker.declare(&topology(stage.queue, stage.target.backend.keeping())).await?;
    broker.close().await?;
    Ok(())
}

pub(super) fn fill_dead_letters(stage: &mut Stage<'_>) -> Result<()> {
    let limit = |messages: u32| {
        let policy = format!(r#"{{\"max-length\":{messages},\"overflow\":\"reject-publish\"}}"#);
        // Only this queue's name ends like that.
        let words = ["/", "full", r"\\.dead$", &policy].map(|word| format!("<<\"{word}\">>")).join(", ");
        format!("ok = rabbit_policy:parse_set({words}, 0, <<\"queues\">>, <<\"a fault\">>)")
    };
    // To clear it would not do: a quorum queue without any limit does not tell publishers that it takes messages again.
    for_a_while(stage, &limit(1), &limit(10_000_000), stage.target.pace.no_parking())
}

/// Has RabbitMQ do one thing, and another after this time: in one call, as each takes its time.
fn for_a_while(stage: &mut Stage<'_>, first: &str, then: &str, time: Duration) -> Result<()> {
    let node = rabbitmq(stage.target)?;
    let code = format!("{first}, timer:sleep({}), {then}.", time.as_millis());
    stage.meanwhile(|| node.ctl(&["eval", &code]).map(drop))
}

pub(super) async fn pause(stage: &mut Stage<'_>) -> Result<()> {
    let pause = stage.target.pace.paused();
    for server in redis_servers(stage.target)? {
        ask::<()>(&server.url(), &format!("CLIENT PAUSE {} ALL", pause.as_millis())).await?;
    }
    stage.crew.pass(pause).await
}

pub(super) async fn flush_scripts(stage: &mut Stage<'_>) -> Result<()> {
    for server in redis_servers(stage.target)? {
        ask::<()>(&server.url(), "SCRIPT FLUSH SYNC").await?;
    }
    Ok(())
}

fn rabbitmq(target: &Target) -> Result<&RabbitMq> {
    match &target.servers {
        Servers::RabbitMq(node) => Ok(node),
        Servers::Cluster(cluster) => cluster.nodes().first().context("the cluster has no nodes"),
        Servers::Redis(_) | Servers::Sentinel(_) => bail!("this is not RabbitMQ"),
    }
}

fn redis_servers(target: &Target) -> Result<&[Redis]> {
    match &target.servers {
        Servers::Redis(server) => Ok(std::slice::from_ref(server)),
        Servers::Sentinel(group) => Ok(group.servers()),
        Servers::RabbitMq(_) | Servers::Cluster(_) => bail!("this is not Redis"),
    }
}

/// Runs a command of these words on a Redis server.
///
/// # Errors
/// If the server does not answer, or not as expected.
pub(super) async fn ask<T: FromRedisValue>(url: &str, words: &str) -> Result<T> {
    let mut command = Cmd::new();
    words.split(' ').for_each(|word| {
        command.arg(word);
    });
    let client = redis::Client::open(url)?;
    let config =
        AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE)).set_connection_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    command.query_async(&mut connection).await.with_context(|| format!("cannot run {words}"))
}
