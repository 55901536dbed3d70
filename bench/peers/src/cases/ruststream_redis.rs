//! ruststream on Redis Streams, through fred. It leaves all messages in the stream.

use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use ruststream::Broker as _;
use ruststream_fred::RedisPublisher;
use ruststream_fred::stream::prelude::*;
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use super::GROUP;
use super::ruststream_frames::{Body, Hit};
use crate::Options;
use crate::work::{self, Publish};

pub(super) async fn fill(o: &Options) -> Result<()> {
    work::fill(o, publishers(o).await?).await
}

/// Each message is acknowledged in a call of its own, by as many workers.
pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let (meter, workers) = (Meter::new(o.messages), workers(o)?);
    let app = RustStream::new(AppInfo::new("bench", "0.0.0")).with_broker(RedisBroker::standalone(&o.url), |b| {
        b.include(subscriber(stream(o), Hit(meter)).workers(workers).build());
    });
    run(o, meter, app).await
}

/// What was read at once is acknowledged at once.
pub(super) async fn consume_with_pipeline(o: &Options) -> Result<Figures> {
    let (meter, workers) = (Meter::new(o.messages), workers(o)?);
    let app = RustStream::new(AppInfo::new("bench", "0.0.0")).with_broker(RedisBroker::standalone(&o.url), |b| {
        b.include(subscriber(stream(o), Hit(meter)).pipeline().workers(workers).build());
    });
    run(o, meter, app).await
}

async fn run(o: &Options, meter: &'static Meter, app: RustStream) -> Result<Figures> {
    let running = app.start().await?;
    work::handled(o, meter).await?;
    running.shutdown().await?;
    work::figures(o, meter)
}

fn workers(o: &Options) -> Result<NonZeroUsize> {
    NonZeroUsize::new(o.concurrency).context("the concurrency is 0")
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    work::publish(o, publishers(o).await?).await
}

fn stream(o: &Options) -> RedisStream {
    RedisStream::new(&o.queue).group(GROUP).start_id(StreamStart::Beginning)
}

#[derive(Clone)]
struct Publisher {
    live: RedisPublisher,
    stream: String,
    body: Body,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        Ok(self.live.message(&self.body).to(&self.stream).publish().await?)
    }
}

async fn publishers(o: &Options) -> Result<Vec<Publisher>> {
    let broker = RedisBroker::standalone(&o.url).connect().await?;
    let publisher = Publisher { live: broker.publisher(), stream: o.queue.clone(), body: Body(vec![b'x'; o.size]) };
    Ok(vec![publisher; o.concurrency])
}
