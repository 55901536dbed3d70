//! omniqueue on Redis Streams. It has no worker, and makes no consumer group.

use std::sync::Arc;

use anyhow::Result;
use omniqueue::backends::RedisBackend;
use omniqueue::backends::redis::{RedisConfig, RedisConnectionManager, RedisProducer};
use redis::AsyncCommands;
use swarrot_bench::figures::Figures;

use super::{GROUP, omniqueue_loop};
use crate::Options;
use crate::looks::Store;
use crate::work::{self, Publish};

/// A connection serves one call at a time.
const CONNECTIONS: u16 = 16;

pub(super) async fn fill(o: &Options) -> Result<()> {
    prepare(o).await?;
    work::fill(o, publishers(o).await?).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let consumer = RedisBackend::builder(config(o)).build_consumer().await?;
    omniqueue_loop::consume(o, consumer, o.prefetch.into()).await
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    prepare(o).await?;
    work::publish(o, publishers(o).await?).await
}

async fn prepare(o: &Options) -> Result<()> {
    let Store(mut connection) = Store::open(&o.url).await?;
    Ok(connection.xgroup_create_mkstream(&o.queue, GROUP, "0").await?)
}

#[derive(Clone)]
struct Publisher {
    producer: Arc<RedisProducer<RedisConnectionManager>>,
    body: Vec<u8>,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        Ok(self.producer.send_raw(&self.body).await?)
    }
}

async fn publishers(o: &Options) -> Result<Vec<Publisher>> {
    let producer = Arc::new(RedisBackend::builder(config(o)).build_producer().await?);
    Ok(vec![Publisher { producer, body: vec![b'x'; o.size] }; o.concurrency])
}

fn config(o: &Options) -> RedisConfig {
    RedisConfig {
        dsn: o.url.clone(),
        max_connections: CONNECTIONS,
        reinsert_on_nack: true,
        queue_key: o.queue.clone(),
        delayed_queue_key: format!("{}:delayed", o.queue),
        delayed_lock_key: format!("{}:lock", o.queue),
        consumer_group: GROUP.to_owned(),
        consumer_name: "bench".to_owned(),
        payload_key: "payload".to_owned(),
        ack_deadline_ms: 60_000,
        dlq_config: None,
        sentinel_config: None,
    }
}
