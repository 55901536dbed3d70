//! Whoever waits on an empty queue.

use std::time::Duration;

use anyhow::Result;
use swarrot::prelude::*;
use tokio::time::sleep;

use super::{Options, amqp as raw, worker};
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
    let (_connection, _channel, _consumer) = raw::open(o).await?;
    Ok(wait(o.rate).await)
}

async fn wait(seconds: u64) -> Figures {
    // What connecting costs does not count.
    sleep(Duration::from_secs(2)).await;
    let begin = Usage::now();
    sleep(Duration::from_secs(seconds)).await;
    begin.until(&Usage::now(), seconds)
}
