//! apalis on RabbitMQ. Each `push` opens a channel and declares the queue, without waiting for a confirmation of its message.

use std::collections::HashMap;

use anyhow::Result;
use apalis::prelude::*;
use apalis_amqp::{AmqpBackend, Config};
use lapin::options::QueueDeclareOptions;
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use crate::Options;
use crate::looks::Rabbit;
use crate::work::{self, Publish};

/// With all messages but one.
pub(super) async fn fill(o: &Options) -> Result<()> {
    let body = serde_json::to_string(&work::text(o))?;
    Rabbit::open(&o.url).await?.fill(&o.queue, body.as_bytes(), o.messages - 1).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let mut publisher = publisher(o)?;
    // Without a push through the same backend, its worker has no channel, and panics.
    publisher.publish().await?;
    let meter = Meter::new(o.messages);
    let worker = WorkerBuilder::new("bench").backend(publisher.backend).concurrency(o.concurrency).build(
        move |_: String| async move {
            meter.hit();
            Ok::<_, BoxDynError>(())
        },
    );
    let done = async move {
        meter.done().await;
        Ok::<_, WorkerError>(())
    };
    work::patiently(o, meter, tokio::spawn(worker.run_until(done))).await???;
    work::figures(o, meter)
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    work::publish_unconfirmed(o, &o.queue, vec![publisher(o)?; o.concurrency]).await
}

#[derive(Clone)]
struct Publisher {
    backend: AmqpBackend<String>,
    text: String,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        // By default its messages are gone after a restart of the broker.
        let durable = MetadataStore::from_map(HashMap::from([("delivery_mode".to_owned(), "2".to_owned())]));
        let task = TaskBuilder::new(self.text.clone()).with_metadata(durable).build();
        Ok(self.backend.push_task(task).await?)
    }
}

fn publisher(o: &Options) -> Result<Publisher> {
    // The queue is there, perhaps of a kind that this would not declare.
    let declare = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let config = Config::default().queue(o.queue.as_str()).prefetch_count(o.prefetch).declare_options(declare);
    Ok(Publisher { backend: AmqpBackend::new_from_addr(&o.url)?.with_config(config), text: work::text(o) })
}
