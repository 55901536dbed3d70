//! `broccoli_queue`. On RabbitMQ it makes a queue of its own, a classic one with priorities; on Redis a sorted set, and a hash for
//! each message.

use anyhow::Result;
use broccoli_queue::brokers::broker::BrokerMessage;
use broccoli_queue::queue::{BroccoliQueue, ConsumeOptions};
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use crate::Options;
use crate::looks::{Rabbit, Store};
use crate::work::{self, Publish};

const CONNECTIONS: u8 = 16;

pub(super) async fn fill_amqp(o: &Options) -> Result<()> {
    work::fill(o, publishers(o).await?).await?;
    Rabbit::open(&o.url).await?.has(&name(o), o.messages).await
}

/// Its worker opens a channel and a consumer, and declares two queues, for each message.
pub(super) async fn consume_amqp(o: &Options) -> Result<Figures> {
    let (meter, acked) = (Meter::new(o.messages), Meter::new(o.messages));
    let (queue, name) = (connect(&o.url).await?, name(o));
    // Acknowledges by itself, as its worker cannot be stopped, and nothing else says when it is done.
    let options = ConsumeOptions::builder().handler_ack(false).build();
    let (own, to) = (queue.clone(), name.clone());
    let handler = move |message: BrokerMessage<String>| {
        meter.hit();
        let (queue, name) = (own.clone(), to.clone());
        async move {
            queue.acknowledge(&name, message).await?;
            acked.hit();
            Ok(())
        }
    };
    tokio::select! {
        outcome = work::handled(o, acked) => outcome?,
        ended = queue.process_messages(&name, Some(o.concurrency), Some(options), handler) => ended?,
    }
    work::figures(o, meter)
}

pub(super) async fn publish_amqp(o: &Options) -> Result<Figures> {
    work::publish_unconfirmed(o, &name(o), publishers(o).await?).await
}

pub(super) async fn check_amqp(o: &Options, done: bool) -> Result<()> {
    let (rabbit, name) = (Rabbit::open(&o.url).await?, name(o));
    if done {
        rabbit.is_done(&name, o.concurrency as u64).await?;
    } else {
        rabbit.has(&name, o.messages).await?;
    }
    rabbit.delete(&name).await?;
    rabbit.delete(&format!("{name}_failed")).await
}

pub(super) async fn fill_redis(o: &Options) -> Result<()> {
    work::fill(o, publishers(o).await?).await
}

/// Its worker takes one message at a time with each of its tasks, in two calls, and acknowledges in two.
pub(super) async fn consume_redis(o: &Options) -> Result<Figures> {
    let (meter, queue) = (Meter::new(o.messages), connect(&o.url).await?);
    let (mut store, name) = (Store::open(&o.url).await?, name(o));
    let handler = move |_: BrokerMessage<String>| {
        meter.hit();
        async { Ok(()) }
    };
    tokio::select! {
        outcome = work::handled(o, meter) => outcome?,
        ended = queue.process_messages(&name, Some(o.concurrency), None, handler) => ended?,
    }
    // Its worker cannot be stopped, but acknowledges soon.
    store.counts(redis::cmd("LLEN").arg(processing(&name)), 0).await?;
    work::figures(o, meter)
}

pub(super) async fn publish_redis(o: &Options) -> Result<Figures> {
    work::publish(o, publishers(o).await?).await
}

pub(super) async fn check_redis(o: &Options, done: bool) -> Result<()> {
    let (mut store, name) = (Store::open(&o.url).await?, name(o));
    store.counts(redis::cmd("ZCARD").arg(&name), if done { 0 } else { o.messages }).await?;
    store.counts(redis::cmd("LLEN").arg(processing(&name)), 0).await
}

#[derive(Clone)]
struct Publisher {
    queue: BroccoliQueue,
    name: String,
    text: String,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        self.queue.publish(&self.name, None, &self.text, None).await?;
        Ok(())
    }
}

async fn publishers(o: &Options) -> Result<Vec<Publisher>> {
    let publisher = Publisher { queue: connect(&o.url).await?, name: name(o), text: work::text(o) };
    Ok(vec![publisher; o.concurrency])
}

async fn connect(url: &str) -> Result<BroccoliQueue> {
    Ok(BroccoliQueue::builder(url).pool_connections(CONNECTIONS).build().await?)
}

/// It makes its queues with arguments of its own, so that they cannot be those that are there.
fn name(o: &Options) -> String {
    format!("{}-broccoli", o.queue)
}

fn processing(name: &str) -> String {
    format!("{name}_processing")
}
