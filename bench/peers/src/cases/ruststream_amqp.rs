//! ruststream on RabbitMQ.

use std::num::{NonZeroU16, NonZeroUsize};

use anyhow::{Context as _, Result};
use ruststream::Broker as _;
use ruststream_lapin::ConfirmsPublisher;
use ruststream_lapin::prelude::*;
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use super::ruststream_frames::{Body, Hit};
use crate::Options;
use crate::looks::Rabbit;
use crate::work::{self, Publish};

pub(super) async fn fill(o: &Options) -> Result<()> {
    Rabbit::open(&o.url).await?.fill(&o.queue, &vec![b'x'; o.size], o.messages).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let meter = Meter::new(o.messages);
    let workers = NonZeroUsize::new(o.concurrency).context("the concurrency is 0")?;
    let prefetch = NonZeroU16::new(o.prefetch).context("the prefetch is 0")?;
    let broker = LapinBroker::new(&o.url).prefetch(prefetch);
    let app = RustStream::new(AppInfo::new("bench", "0.0.0")).with_broker(broker, |b| {
        b.include(subscriber(RabbitQueue::new(&o.queue), Hit(meter)).workers(workers).build());
    });
    let running = app.start().await?;
    work::handled(o, meter).await?;
    running.shutdown().await?;
    work::figures(o, meter)
}

/// With confirms, which its default policy does not wait for.
pub(super) async fn publish(o: &Options) -> Result<Figures> {
    let broker = LapinBroker::new(&o.url).connect().await?;
    let publisher = Publisher {
        live: broker.publisher(ConfirmsPublish::default()),
        queue: o.queue.clone(),
        body: Body(vec![b'x'; o.size]),
    };
    work::publish(o, vec![publisher; o.concurrency]).await
}

#[derive(Clone)]
struct Publisher {
    live: ConfirmsPublisher,
    queue: String,
    body: Body,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        Ok(self.live.message(&self.body).to(&self.queue).publish().await?)
    }
}
