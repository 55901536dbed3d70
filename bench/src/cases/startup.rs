//! From the start of the process to the first message that is handled.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use swarrot::prelude::*;

use super::{Options, amqp as raw_amqp, redis as raw_redis, worker};
use crate::figures::Figures;
use crate::meter::since_start;

/// A worker that ends after the first.
pub(super) async fn worker(o: &Options) -> Result<Figures> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let worker = worker::make(o).await?.max_messages(1);
    let note = move |_: Delivery| {
        let sent = sender.send(since_start()).is_ok();
        async move { if sent { Outcome::Ack } else { Outcome::Release } }
    };
    worker.run(note).await?;
    receiver.recv().await.context("nothing was handled")
}

/// lapin.
pub(super) async fn amqp(o: &Options) -> Result<Figures> {
    let (_connection, _channel, mut consumer) = raw_amqp::open(o).await?;
    let delivery = consumer.next().await.context("the stream ended")??;
    let figures = since_start();
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(figures)
}

/// redis-rs.
pub(super) async fn redis(o: &Options) -> Result<Figures> {
    let mut connection = raw_redis::connect(o).await?;
    let stream = raw_redis::stream(o);
    let entries = raw_redis::read(&mut connection, &stream, 1000).await?;
    let figures = since_start();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
    raw_redis::end(&mut connection, &stream, &ids).await?;
    Ok(figures)
}
