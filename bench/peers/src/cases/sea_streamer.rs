//! sea-streamer on Redis Streams. It has no worker; it acknowledges in the background, and leaves all messages in the stream.

use std::sync::Arc;

use anyhow::{Context, Result};
use sea_streamer_redis::{
    AutoCommit, AutoStreamReset, RedisConnectOptions, RedisConsumerOptions, RedisProducer, RedisProducerOptions,
    RedisStreamer,
};
use sea_streamer_types::{Consumer, ConsumerGroup, ConsumerMode, ConsumerOptions, Producer, StreamKey, Streamer};
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use super::GROUP;
use crate::Options;
use crate::work::{self, Publish};

pub(super) async fn fill(o: &Options) -> Result<()> {
    work::fill(o, publishers(o, &connect(o).await?).await?).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let (streamer, key) = (connect(o).await?, StreamKey::new(&o.queue)?);
    let mut options = RedisConsumerOptions::new(ConsumerMode::LoadBalanced);
    options.set_consumer_group(ConsumerGroup::new(GROUP))?;
    options.set_auto_stream_reset(AutoStreamReset::Earliest);
    // The default acknowledges what was read five seconds ago, whether it was handled or not.
    options.set_auto_commit(AutoCommit::Rolling);
    options.set_batch_size(o.prefetch.into());
    let consumer = streamer.create_consumer(&[key], options).await?;
    let meter = Meter::new(o.messages);
    let all = async {
        for _ in 0..o.messages {
            let message = consumer.next().await?;
            meter.hit();
            consumer.ack(&message)?;
        }
        anyhow::Ok(())
    };
    work::patiently(o, meter, all).await??;
    consumer.end().await?;
    work::figures(o, meter)
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    work::publish(o, publishers(o, &connect(o).await?).await?).await
}

#[derive(Clone)]
struct Publisher {
    producer: Arc<RedisProducer>,
    body: Vec<u8>,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        self.producer.send(self.body.as_slice())?.await?;
        Ok(())
    }
}

async fn publishers(o: &Options, streamer: &RedisStreamer) -> Result<Vec<Publisher>> {
    let producer = streamer.create_producer(StreamKey::new(&o.queue)?, RedisProducerOptions::default()).await?;
    Ok(vec![Publisher { producer: Arc::new(producer), body: vec![b'x'; o.size] }; o.concurrency])
}

async fn connect(o: &Options) -> Result<RedisStreamer> {
    let uri = o.url.parse().context("cannot read the URL")?;
    Ok(RedisStreamer::connect(uri, RedisConnectOptions::default()).await?)
}
