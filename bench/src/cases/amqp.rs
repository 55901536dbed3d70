//! RabbitMQ through lapin alone.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

use super::Options;
use super::messages::share;
use crate::figures::Figures;
use crate::meter::Meter;

/// How many messages the tuned loop acknowledges at once.
const BATCH: u64 = 100;

/// As people write it: waits for each ack.
pub(super) async fn plain(o: &Options) -> Result<Figures> {
    let (connection, _channel, mut consumer) = open(o).await?;
    let meter = Meter::new(o.messages);
    for _ in 0..o.messages {
        let delivery = consumer.next().await.context("the stream ended")??;
        meter.hit();
        delivery.ack(BasicAckOptions::default()).await?;
    }
    close(connection).await?;
    Ok(meter.figures())
}

/// As it is written for speed: one ack for a hundred messages.
pub(super) async fn tuned(o: &Options) -> Result<Figures> {
    let (connection, channel, mut consumer) = open(o).await?;
    let meter = Meter::new(o.messages);
    for number in 1..=o.messages {
        let delivery = consumer.next().await.context("the stream ended")??;
        meter.hit();
        if number % BATCH == 0 || number == o.messages {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    close(connection).await?;
    Ok(meter.figures())
}

/// Publishes with confirms, so many at once.
pub(super) async fn publish(o: &Options) -> Result<Figures> {
    let (_connection, channel) = connect(o).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body: Arc<[u8]> = vec![b'x'; o.size].into();
    let meter = Meter::new(o.messages);
    meter.begin();
    let tasks: Vec<_> = (0..o.concurrency)
        .map(|index| {
            let (channel, body, queue, share) = (channel.clone(), Arc::clone(&body), o.queue.clone(), share(o, index));
            tokio::spawn(async move {
                for _ in 0..share {
                    publish_one(&channel, &queue, &body).await?;
                    meter.hit();
                }
                Ok::<_, anyhow::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(meter.figures())
}

/// Publishes a durable message that must be routed, and waits until it is confirmed.
pub(super) async fn publish_one(channel: &Channel, queue: &str, body: &[u8]) -> Result<()> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirmation = channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await?;
    ensure!(confirmation.is_ack(), "a message was refused");
    Ok(())
}

pub(super) async fn connect(o: &Options) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(&o.url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// Without it the last acks could be lost with the socket, and their messages come again.
async fn close(connection: Connection) -> Result<()> {
    Ok(connection.close(200, "OK".into()).await?)
}

pub(super) async fn open(o: &Options) -> Result<(Connection, Channel, Consumer)> {
    let (connection, channel) = connect(o).await?;
    channel.basic_qos(o.prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(o.queue.as_str().into(), "bench".into(), options, FieldTable::default());
    let consumer = consumer.await?;
    Ok((connection, channel, consumer))
}
