//! omniqueue on RabbitMQ. It has no worker, and makes no queue; `send` returns when lapin has the message.

use std::sync::Arc;

use anyhow::Result;
use omniqueue::backends::RabbitMqBackend;
use omniqueue::backends::rabbitmq::{
    BasicConsumeOptions, BasicProperties, BasicPublishOptions, ConnectionProperties, FieldTable, RabbitMqConfig,
    RabbitMqProducer,
};
use swarrot_bench::figures::Figures;

use super::omniqueue_loop;
use crate::Options;
use crate::looks::Rabbit;
use crate::work::{self, Publish};

pub(super) async fn fill(o: &Options) -> Result<()> {
    Rabbit::open(&o.url).await?.fill(&o.queue, &body(o), o.messages).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let consumer = RabbitMqBackend::builder(config(o)).build_consumer().await?;
    omniqueue_loop::consume(o, consumer, o.concurrency).await
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    work::publish_unconfirmed(o, &o.queue, publishers(o).await?).await
}

#[derive(Clone)]
struct Publisher {
    producer: Arc<RabbitMqProducer>,
    body: Vec<u8>,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        Ok(self.producer.send_raw(&self.body).await?)
    }
}

async fn publishers(o: &Options) -> Result<Vec<Publisher>> {
    let producer = Arc::new(RabbitMqBackend::builder(config(o)).build_producer().await?);
    Ok(vec![Publisher { producer, body: body(o) }; o.concurrency])
}

fn body(o: &Options) -> Vec<u8> {
    vec![b'x'; o.size]
}

fn config(o: &Options) -> RabbitMqConfig {
    RabbitMqConfig {
        uri: o.url.clone(),
        connection_properties: ConnectionProperties::default(),
        publish_exchange: String::new(),
        publish_routing_key: o.queue.clone(),
        publish_options: BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
        publish_properties: BasicProperties::default().with_delivery_mode(2),
        consume_queue: o.queue.clone(),
        consumer_tag: "bench".to_owned(),
        consume_options: BasicConsumeOptions::default(),
        consume_arguments: FieldTable::default(),
        consume_prefetch_count: Some(o.prefetch),
        requeue_on_nack: true,
    }
}
