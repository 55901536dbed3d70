//! The embedded backend, and channels beside it.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use swarrot::Settlement;
use swarrot::prelude::*;

use super::{Options, connect, messages};
use crate::figures::Figures;
use crate::meter::Meter;

/// How many messages a channel holds.
const ROOM: usize = 1024;

/// Publishes, receives and acks in batches, through `dyn MessagePublisher` and `dyn MessageProvider`.
pub(super) async fn cycle(o: &Options) -> Result<Figures> {
    let broker = connect(o).await?;
    broker.declare(&Topology::new().queue(Queue::new(o.queue.as_str()))).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let provider = broker.provider(&o.queue, ProviderOptions::default()).await?;
    let batch = vec![messages::outgoing(o); o.concurrency];
    let max = NonZeroUsize::new(o.concurrency).unwrap_or(NonZeroUsize::MIN);
    let meter = Meter::new(o.messages);
    meter.begin();
    for _ in 0..o.messages.div_ceil(o.concurrency as u64) {
        for result in publisher.publish(&batch).await {
            result?;
        }
        let mut left = batch.len();
        while left > 0 {
            let deliveries = provider.receive(max, Duration::from_secs(1)).await?;
            ensure!(!deliveries.is_empty(), "nothing came");
            left -= deliveries.len();
            let acks: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
            provider.settle(&acks).await?;
            meter.hits(deliveries.len());
        }
    }
    broker.close().await?;
    Ok(meter.figures())
}

/// From one task to another through tokio's bounded channel: no ack, no redelivery.
pub(super) async fn mpsc(o: &Options) -> Result<Figures> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(ROOM);
    let (messages, body) = (o.messages, Bytes::from(vec![b'x'; o.size]));
    let meter = Meter::new(messages);
    tokio::spawn(async move {
        for _ in 0..messages {
            let _ = sender.send(body.clone()).await;
        }
    });
    while receiver.recv().await.is_some() {
        meter.hit();
    }
    Ok(meter.figures())
}

/// The same through async-channel's.
pub(super) async fn channel(o: &Options) -> Result<Figures> {
    let (sender, receiver) = async_channel::bounded::<Bytes>(ROOM);
    let (messages, body) = (o.messages, Bytes::from(vec![b'x'; o.size]));
    let meter = Meter::new(messages);
    tokio::spawn(async move {
        for _ in 0..messages {
            let _ = sender.send(body.clone()).await;
        }
    });
    while receiver.recv().await.is_ok() {
        meter.hit();
    }
    Ok(meter.figures())
}
