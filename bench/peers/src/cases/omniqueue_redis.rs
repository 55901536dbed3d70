//! omniqueue on Redis Streams. It has no worker, and makes no consumer group.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use omniqueue::backends::RedisBackend;
use omniqueue::backends::redis::{RedisConfig, RedisConnectionManager, RedisProducer};
use redis::AsyncCommands;
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use super::GROUP;
use crate::Options;
use crate::looks::Store;
use crate::work::{self, Publish};

/// A connection serves one call at a time.
const CONNECTIONS: u16 = 16;

pub(super) async fn fill(o: &Options) -> Result<()> {
    prepare(o).await?;
    work::fill(o, publishers(o).await?).await
}

/// Reads as many as there are, and handles and acknowledges them at once.
pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let mut consumer = RedisBackend::builder(config(o)).build_consumer().await?;
    let meter = Meter::new(o.messages);
    let mut left = o.messages;
    while left > 0 {
        let deliveries = consumer.receive_all(o.prefetch.into(), Duration::from_secs(10)).await?;
        ensure!(!deliveries.is_empty(), "nothing came, {left} are missing");
        left = left.checked_sub(deliveries.len() as u64).context("more came than were sent")?;
        try_join_all(deliveries.into_iter().map(|delivery| {
            meter.hit();
            delivery.ack()
        }))
        .await
        .map_err(|(error, _)| error)?;
    }
    work::figures(o, meter)
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
