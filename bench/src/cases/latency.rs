//! How long it takes from a publish to the handler, at a steady rate.
//!
//! The publisher is the raw client in every case, so that only the receiving side differs.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, ConfirmSelectOptions};
use redis::AsyncCommands;
use swarrot::Handler;
use swarrot::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Options, connect};
use super::{amqp as raw_amqp, redis as raw_redis};
use crate::figures::Figures;

/// Messages at the beginning that do not count.
const WARM_UP: u64 = 50;

/// A worker.
pub(super) async fn worker(o: &Options) -> Result<Figures> {
    let watch = Watch::new();
    let broker = connect(o).await?;
    let provider = broker.provider(&o.queue, ProviderOptions::default()).await?;
    let worker = Worker::new(provider).concurrency(o.concurrency).signals_off();
    let worker = match NonZeroU16::new(o.prefetch) {
        Some(prefetch) => worker.prefetch(prefetch),
        None => worker,
    };
    let worker = worker.max_messages(o.messages + WARM_UP);
    let running = tokio::spawn(worker.run(Arrive(Arc::clone(&watch))));
    publish(o, &watch).await?;
    running.await??;
    watch.figures()
}

/// lapin, pushed, each ack awaited.
pub(super) async fn amqp(o: &Options) -> Result<Figures> {
    let watch = Watch::new();
    let (_connection, _channel, mut consumer) = raw_amqp::open(o).await?;
    let (total, watched) = (o.messages + WARM_UP, Arc::clone(&watch));
    let running: JoinHandle<Result<()>> = tokio::spawn(async move {
        for _ in 0..total {
            let delivery = consumer.next().await.context("the stream ended")??;
            watched.arrived(&delivery.data);
            delivery.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    });
    publish(o, &watch).await?;
    running.await??;
    watch.figures()
}

/// redis-rs, in blocking reads, each ack awaited.
pub(super) async fn redis(o: &Options) -> Result<Figures> {
    let watch = Watch::new();
    let mut connection = raw_redis::connect(o).await?;
    let (stream, total, watched) = (raw_redis::stream(o), o.messages + WARM_UP, Arc::clone(&watch));
    let running: JoinHandle<Result<()>> = tokio::spawn(async move {
        let mut left = total;
        while left > 0 {
            let entries = raw_redis::read(&mut connection, &stream, 1000).await?;
            ensure!(!entries.is_empty(), "nothing came");
            for entry in &entries {
                watched.arrived(&entry.get::<Vec<u8>>("body").unwrap_or_default());
            }
            left -= entries.len() as u64;
            let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
            raw_redis::end(&mut connection, &stream, &ids).await?;
        }
        Ok(())
    });
    publish(o, &watch).await?;
    running.await??;
    watch.figures()
}

/// Publishes at the rate, whatever becomes of what was published before.
async fn publish(o: &Options, watch: &Watch) -> Result<()> {
    // Whoever receives is connected by then.
    sleep(Duration::from_millis(300)).await;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / o.rate as f64));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let is_amqp = o.url.starts_with("amqp");
    let mut amqp = None;
    let mut redis = None;
    if is_amqp {
        let (connection, channel) = raw_amqp::connect(o).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        amqp = Some((connection, channel));
    } else {
        redis = Some(raw_redis::connect(o).await?);
    }
    let mut sent = Vec::new();
    for _ in 0..o.messages + WARM_UP {
        ticks.tick().await;
        let mut body = watch.stamp().to_vec();
        body.resize(o.size.max(body.len()), b'x');
        if let Some((_, channel)) = &amqp {
            let (channel, queue) = (channel.clone(), o.queue.clone());
            sent.push(tokio::spawn(async move { raw_amqp::publish_one(&channel, &queue, &body).await }));
        } else if let Some(connection) = &redis {
            let (mut connection, stream) = (connection.clone(), raw_redis::stream(o));
            sent.push(tokio::spawn(async move {
                let _: String = connection.xadd(&stream, "*", &[("body", &body)]).await?;
                Ok(())
            }));
        }
    }
    for one in sent {
        one.await??;
    }
    Ok(())
}

/// Notes how late messages arrive.
struct Watch {
    start: Instant,
    late: Mutex<Vec<Duration>>,
}

impl Watch {
    fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), late: Mutex::default() })
    }

    /// The moment, as a message carries it.
    fn stamp(&self) -> [u8; 8] {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX).to_be_bytes()
    }

    fn arrived(&self, body: &[u8]) {
        let now = self.start.elapsed();
        let sent = body.first_chunk().map_or(Duration::ZERO, |stamp| Duration::from_nanos(u64::from_be_bytes(*stamp)));
        self.late.lock().unwrap_or_else(PoisonError::into_inner).push(now.saturating_sub(sent));
    }

    fn figures(&self) -> Result<Figures> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner).split_off(usize::try_from(WARM_UP)?);
        ensure!(!late.is_empty(), "nothing was measured");
        late.sort_unstable();
        let at = |thousandths: usize| {
            let place = (late.len() * thousandths).div_ceil(1000).max(1);
            late.get(place - 1).map_or(0.0, |late| late.as_secs_f64() * 1e3)
        };
        let latency = [at(500), at(990), at(999)];
        Ok(Figures {
            messages: late.len() as u64,
            seconds: self.start.elapsed().as_secs_f64(),
            latency,
            ..Figures::default()
        })
    }
}

struct Arrive(Arc<Watch>);

impl Handler for Arrive {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        self.0.arrived(delivery.body());
        Ok(Outcome::Ack)
    }
}
