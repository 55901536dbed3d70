//! Redis Streams through redis-rs alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig, Client};

use super::Options;
use super::messages::share;
use crate::figures::Figures;
use crate::meter::Meter;

const GROUP: &str = "swarrot";
const BATCH: usize = 1000;

/// One message in each read, one id in each ack.
pub(super) async fn one_by_one(o: &Options) -> Result<Figures> {
    consume(o, 1, false).await
}

/// As many as there are in each read, up to 1000, and all of them in one ack. `deleting`: and in one `XDEL`, without which the
/// stream keeps them.
pub(super) async fn tuned(o: &Options, deleting: bool) -> Result<Figures> {
    consume(o, BATCH, deleting).await
}

async fn consume(o: &Options, batch: usize, deleting: bool) -> Result<Figures> {
    let mut connection = connect(o).await?;
    let stream = stream(o);
    let meter = Meter::new(o.messages);
    let mut left = o.messages;
    while left > 0 {
        let ids: Vec<String> = read(&mut connection, &stream, batch).await?.into_iter().map(|entry| entry.id).collect();
        ensure!(!ids.is_empty(), "nothing came, {left} are missing");
        meter.hits(ids.len());
        left -= ids.len() as u64;
        if deleting {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            end(&mut connection, &stream, &ids).await?;
        } else {
            let _: usize = connection.xack(&stream, GROUP, &ids).await?;
        }
    }
    Ok(meter.figures())
}

/// Reads as many as there are, up to `batch`; waits up to 5 s for the first.
pub(super) async fn read(connection: &mut MultiplexedConnection, stream: &str, batch: usize) -> Result<Vec<StreamId>> {
    let options = StreamReadOptions::default().group(GROUP, "bench").count(batch).block(5000);
    let reply: Option<StreamReadReply> = connection.xread_options(&[stream], &[">"], &options).await?;
    Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
}

/// Acknowledges, and deletes.
pub(super) async fn end(connection: &mut MultiplexedConnection, stream: &str, ids: &[&str]) -> Result<()> {
    let pipe = &mut redis::pipe();
    pipe.xack(stream, GROUP, ids).ignore().xdel(stream, ids).ignore();
    Ok(pipe.query_async(connection).await?)
}

/// One message in each command, many commands at once.
pub(super) async fn publish_each(o: &Options) -> Result<Figures> {
    let connection = connect(o).await?;
    let meter = Meter::new(o.messages);
    meter.begin();
    let tasks: Vec<_> = (0..o.concurrency)
        .map(|index| {
            let (mut connection, stream, body) = (connection.clone(), stream(o), vec![b'x'; o.size]);
            let share = share(o, index);
            tokio::spawn(async move {
                for _ in 0..share {
                    let _: String = connection.xadd(&stream, "*", &[("body", &body)]).await?;
                    meter.hit();
                }
                Ok::<_, redis::RedisError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(meter.figures())
}

/// Pipelines of so many commands, one after the other.
pub(super) async fn publish_batches(o: &Options) -> Result<Figures> {
    let mut connection = connect(o).await?;
    let (stream, body) = (stream(o), vec![b'x'; o.size]);
    let meter = Meter::new(o.messages);
    meter.begin();
    let mut left = o.messages;
    while left > 0 {
        let size = left.min(o.concurrency as u64);
        let mut pipe = redis::pipe();
        for _ in 0..size {
            pipe.xadd(&stream, "*", &[("body", &body)]);
        }
        let ids: Vec<String> = pipe.query_async(&mut connection).await?;
        meter.hits(ids.len());
        left -= size;
    }
    Ok(meter.figures())
}

pub(super) async fn connect(o: &Options) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    Ok(Client::open(o.url.as_str())?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Where swarrot keeps the queue's messages.
pub(super) fn stream(o: &Options) -> String {
    format!("swarrot:{{{}}}:stream", o.queue)
}
