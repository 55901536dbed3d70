//! Whoever waits on an empty queue.

use std::time::Duration;

use anyhow::Result;
use swarrot::prelude::*;
use tokio::time::sleep;

use super::{Options, amqp as raw_amqp, redis as raw_redis, worker};
use crate::figures::Figures;
use crate::meter::Usage;

/// A worker, once it is connected. The figures are for each second.
pub(super) async fn worker(o: &Options) -> Result<Figures> {
    let worker = worker::make(o).await?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(|_: Delivery| async {}));
    let figures = wait(o.rate).await;
    handle.stop();
    running.await??;
    Ok(figures)
}

/// lapin.
pub(super) async fn amqp(o: &Options) -> Result<Figures> {
    let (_connection, _channel, _consumer) = raw_amqp::open(o).await?;
    Ok(wait(o.rate).await)
}

/// redis-rs, in blocking reads.
pub(super) async fn redis(o: &Options) -> Result<Figures> {
    let mut connection = raw_redis::connect(o).await?;
    let stream = raw_redis::stream(o);
    let reading = tokio::spawn(async move { while raw_redis::read(&mut connection, &stream, 1).await.is_ok() {} });
    let figures = wait(o.rate).await;
    reading.abort();
    Ok(figures)
}

async fn wait(seconds: u64) -> Figures {
    // What connecting costs does not count.
    sleep(Duration::from_secs(2)).await;
    let begin = Usage::now();
    sleep(Duration::from_secs(seconds)).await;
    begin.until(&Usage::now(), seconds)
}
