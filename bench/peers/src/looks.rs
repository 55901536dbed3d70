//! Looks at what is in a broker, and fills it where that is slow otherwise, through clients of our own.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamInfoGroupsReply;
use redis::{Arg, AsyncCommands, Client, Cmd};

/// Brokers count late, and some libraries acknowledge later than they return.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;
/// Messages that fill a queue, published before the first of them is confirmed.
const BATCH: u64 = 500;

/// A look at RabbitMQ.
pub(crate) struct Rabbit {
    channel: Channel,
    /// Ends the connection when it is dropped.
    _connection: Connection,
}

impl Rabbit {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, _connection: connection })
    }

    /// Puts so many durable messages into a queue.
    pub(crate) async fn fill(&self, queue: &str, body: &[u8], messages: u64) -> Result<()> {
        let mut left = messages;
        while left > 0 {
            let batch = left.min(BATCH);
            let confirms = try_join_all((0..batch).map(|_| {
                let properties = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                self.channel.basic_publish("".into(), queue.into(), options, body, properties)
            }));
            for confirm in try_join_all(confirms.await?).await? {
                ensure!(confirm.is_ack(), "a message was refused");
            }
            left -= batch;
        }
        self.has(queue, messages).await
    }

    /// Waits until a queue has so many messages that nobody holds.
    pub(crate) async fn has(&self, queue: &str, messages: u64) -> Result<()> {
        let mut seen = 0;
        for _ in 0..LOOKS {
            seen = self.look(queue).await?.0;
            if seen == messages {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{queue} has {seen} messages instead of {messages}")
    }

    /// Waits until nobody consumes from a queue, so that what was not acknowledged is back in it. That may be what a consumer held
    /// at last: acknowledgements that are under way when a connection ends are lost, above all in quorum queues. Those before them
    /// must have arrived, or it would not have been sent more.
    pub(crate) async fn is_done(&self, queue: &str, held: u64) -> Result<()> {
        for _ in 0..LOOKS {
            let (messages, consumers) = self.look(queue).await?;
            if consumers == 0 {
                ensure!(messages <= held, "{queue} still has {messages} messages");
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("{queue} is still consumed from")
    }

    /// How many messages nobody holds, and how many consumers there are.
    async fn look(&self, queue: &str) -> Result<(u64, u32)> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let state = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        Ok((state.message_count().into(), state.consumer_count()))
    }

    pub(crate) async fn delete(&self, queue: &str) -> Result<()> {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }
}

/// A look at Redis.
pub(crate) struct Store(pub(crate) MultiplexedConnection);

impl Store {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        Ok(Self(Client::open(url)?.get_multiplexed_async_connection().await?))
    }

    /// Waits until a command that counts something counts so much.
    pub(crate) async fn counts(&mut self, command: &Cmd, expected: u64) -> Result<()> {
        let mut seen = 0;
        for _ in 0..LOOKS {
            seen = command.query_async(&mut self.0).await?;
            if seen == expected {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        let words = command.args_iter().filter_map(|arg| match arg {
            Arg::Simple(word) => Some(String::from_utf8_lossy(word)),
            _ => None,
        });
        bail!("{} is {seen} instead of {expected}", words.collect::<Vec<_>>().join(" "))
    }

    /// Waits until a group has read and acknowledged all that is in a stream.
    pub(crate) async fn is_read(&mut self, stream: &str, group: &str) -> Result<()> {
        let mut seen = None;
        for _ in 0..LOOKS {
            let groups: StreamInfoGroupsReply = self.0.xinfo_groups(stream).await?;
            let group = groups.groups.into_iter().find(|one| one.name == group);
            let group = group.context("the group is missing")?;
            if group.pending == 0 && group.lag == Some(0) {
                return Ok(());
            }
            seen = Some((group.pending, group.lag));
            tokio::time::sleep(PAUSE).await;
        }
        bail!("not all of {stream} is read and acknowledged: {seen:?}")
    }
}
