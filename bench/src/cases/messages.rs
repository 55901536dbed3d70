//! Publishing through swarrot.

use std::sync::Arc;

use anyhow::{Context, Result};
use swarrot::prelude::*;

use super::{Options, connect};
use crate::figures::Figures;
use crate::meter::Meter;

/// Messages in a batch that fills a queue.
const FILL: usize = 1000;

pub(super) fn outgoing(o: &Options) -> Outgoing {
    Outgoing::new(o.queue.as_str(), Message::new(vec![b'x'; o.size]))
}

/// Fills the queue with messages as a user of swarrot publishes them.
///
/// # Errors
/// If one is not taken.
pub(crate) async fn fill(broker: &dyn Broker, o: &Options) -> Result<()> {
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let all = vec![outgoing(o); FILL];
    let mut left = usize::try_from(o.messages)?;
    while left > 0 {
        let batch = &all[..left.min(FILL)];
        for result in publisher.publish(batch).await {
            result.context("cannot fill the queue")?;
        }
        left -= batch.len();
    }
    publisher.close().await.context("cannot close the publisher")
}

/// Makes the queue and fills it, for running other cases by hand, under a profiler for instance.
pub(super) async fn declare_and_fill(o: &Options) -> Result<Figures> {
    let broker = connect(o).await?;
    broker.declare(&Topology::new().queue(Queue::new(o.queue.as_str()))).await?;
    fill(&*broker, o).await?;
    broker.close().await?;
    Ok(Figures { messages: o.messages, ..Figures::default() })
}

/// One message in each call, many calls at once: what a web server does.
pub(super) async fn publish_each(o: &Options) -> Result<Figures> {
    let broker = connect(o).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    publisher.publish_one(outgoing(o)).await?;
    let meter = Meter::new(o.messages);
    meter.begin();
    let tasks: Vec<_> = (0..o.concurrency)
        .map(|index| {
            let (publisher, outgoing) = (Arc::clone(&publisher), outgoing(o));
            let share = share(o, index);
            tokio::spawn(async move {
                for _ in 0..share {
                    publisher.publish_one(outgoing.clone()).await?;
                    meter.hit();
                }
                Ok::<_, swarrot::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    broker.close().await?;
    Ok(meter.figures())
}

/// Batches of so many messages, one after the other.
pub(super) async fn publish_batches(o: &Options) -> Result<Figures> {
    let broker = connect(o).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let batch = vec![outgoing(o); o.concurrency];
    let meter = Meter::new(o.messages);
    let mut left = o.messages;
    publisher.publish_one(outgoing(o)).await?;
    meter.begin();
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(batch.len());
        for result in publisher.publish(&batch[..size]).await {
            result?;
            meter.hit();
        }
        left -= size as u64;
    }
    broker.close().await?;
    Ok(meter.figures())
}

/// How many of the messages one of the tasks publishes.
pub(super) fn share(o: &Options, index: usize) -> u64 {
    let (tasks, index) = (o.concurrency as u64, index as u64);
    o.messages / tasks + u64::from(index < o.messages % tasks)
}
