//! What the tests share: a private server, brokers, deliveries.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use swarrot_conformance::brokers::{Redis, Start};
use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, Delivery, ErrorKind, Message, MessageProvider, MessagePublisher, MessagePublisherExt as _, Outcome,
    Outgoing, ProviderOptions, PublisherOptions, Result, SettleError, Settlement,
};
use swarrot_redis::RedisBroker;
use tokio::time::Instant;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long a test waits for what has to come on a busy machine.
pub(crate) const PATIENCE: Duration = secs(20);

/// A server that keeps what it has confirmed.
pub(crate) fn server() -> Redis {
    server_with(&[])
}

pub(crate) fn server_with(config: &[&str]) -> Redis {
    let start = Start::new().config("appendfsync always");
    Redis::start(&config.iter().fold(start, |start, line| start.config(*line))).expect("a server")
}

pub(crate) async fn connect(url: &str) -> RedisBroker {
    RedisBroker::connect(&url.parse().expect("a URL")).await.expect("connects")
}

/// A broker with the queue `q` and its dead-letter queue.
pub(crate) async fn with_queue(server: &Redis) -> RedisBroker {
    let broker = connect(&server.url()).await;
    declare(&broker, Queue::new("q")).await;
    broker
}

pub(crate) async fn declare(broker: &RedisBroker, queue: Queue) {
    broker.declare(&Topology::new().queue(queue)).await.expect("declares");
}

/// Runs a command of a plain client.
pub(crate) async fn run<T: FromRedisValue>(server: &Redis, command: &Cmd) -> T {
    command.query_async(&mut plain(server).await).await.expect("an answer")
}

/// A connection of a plain client, which waits as long for an answer as a busy machine takes.
pub(crate) async fn plain(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    let config =
        AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE)).set_connection_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await.expect("connects")
}

/// The command of these words.
pub(crate) fn words(words: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command
}

pub(crate) async fn provider(broker: &RedisBroker, queue: &str, prefetch: u16) -> Arc<dyn MessageProvider> {
    let options = ProviderOptions::default().prefetch(NonZeroU16::new(prefetch).expect("not zero"));
    broker.provider(queue, options).await.expect("a provider")
}

pub(crate) async fn publisher(broker: &RedisBroker) -> Arc<dyn MessagePublisher> {
    broker.publisher("", PublisherOptions::default()).await.expect("a publisher")
}

pub(crate) async fn send(broker: &RedisBroker, queue: &str, body: &str) -> Result<()> {
    publisher(broker).await.publish_one(Outgoing::new(queue, Message::new(body.to_owned()))).await
}

pub(crate) fn max(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

/// So many deliveries; temporary errors on the way are expected.
pub(crate) async fn take(provider: &dyn MessageProvider, count: usize) -> Vec<Delivery> {
    let deadline = Instant::now() + PATIENCE;
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} came", taken.len());
        match provider.receive(max(count - taken.len()), ms(200)).await {
            Ok(some) => taken.extend(some),
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
    }
    taken
}

pub(crate) async fn one(provider: &dyn MessageProvider) -> Delivery {
    take(provider, 1).await.remove(0)
}

pub(crate) async fn nothing(provider: &dyn MessageProvider) {
    let some = provider.receive(max(1), ms(300)).await.expect("receives");
    assert!(some.is_empty(), "{some:?}");
}

pub(crate) async fn settle(
    provider: &dyn MessageProvider,
    delivery: &Delivery,
    outcome: Outcome,
) -> Result<(), SettleError> {
    provider.settle(&[Settlement::new(delivery.receipt(), outcome)]).await
}

/// Settles, and answers with the kind of the failure.
pub(crate) async fn settle_kind(
    provider: &dyn MessageProvider,
    delivery: &Delivery,
    outcome: Outcome,
) -> Option<ErrorKind> {
    settle(provider, delivery, outcome).await.err().map(|error| error.failures()[0].1.kind())
}

pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body().to_vec()).expect("text")
}
