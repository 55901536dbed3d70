//! What the tests share: a broker of a real server, and queues of their own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod node;
pub mod raw;

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::options::ExchangeDeleteOptions;
use swarrot_amqp::AmqpBroker;
use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, BrokerUrl, Delivery, Error, ErrorKind, Message, MessageProvider, MessagePublisher, MessagePublisherExt,
    Outcome, Outgoing, ProviderOptions, PublisherOptions, Result, Settlement,
};

/// The server that the tests use.
pub fn url() -> String {
    std::env::var("SWARROT_TEST_AMQP_URL")
        .expect("set SWARROT_TEST_AMQP_URL to a RabbitMQ server that the tests may use, such as amqp://localhost")
}

/// The server's URL with a parameter more.
pub fn url_with(parameter: &str) -> String {
    let url = url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}")
}

pub async fn connect(url: &str) -> Result<AmqpBroker> {
    AmqpBroker::connect(&url.parse::<BrokerUrl>().expect("a URL")).await
}

/// A broker with a queue of its own, which is deleted at the end.
pub struct Bench {
    pub broker: AmqpBroker,
    pub queue: String,
    url: String,
}

impl Bench {
    pub async fn new(test: &str) -> Self {
        Self::with(test, |queue| queue).await
    }

    pub async fn classic(test: &str) -> Self {
        Self::with(test, Queue::classic).await
    }

    pub async fn with(test: &str, options: impl FnOnce(Queue) -> Queue) -> Self {
        Self::at(test, &url(), options).await
    }

    /// One on another server.
    pub async fn at(test: &str, url: &str, options: impl FnOnce(Queue) -> Queue) -> Self {
        let queue = unique(test);
        let broker = connect(url).await.expect("the server answers");
        let topology = Topology::new().queue(options(Queue::new(&queue)));
        broker.declare(&topology).await.expect("the queue is declared");
        Self { broker, queue, url: url.to_owned() }
    }

    pub async fn provider(&self, prefetch: u16) -> Arc<dyn MessageProvider> {
        let options = ProviderOptions::default().prefetch(NonZeroU16::new(prefetch).expect("not zero"));
        self.broker.provider(&self.queue, options).await.expect("the queue is there")
    }

    pub async fn publisher(&self) -> Arc<dyn MessagePublisher> {
        self.broker.publisher("", PublisherOptions::default()).await.expect("a publisher")
    }

    pub async fn publish(&self, message: Message) {
        let publisher = self.publisher().await;
        publisher.publish_one(Outgoing::new(&self.queue, message)).await.expect("published");
    }

    pub async fn fill(&self, count: usize) {
        let publisher = self.publisher().await;
        let batch: Vec<_> = (0..count).map(|i| Outgoing::new(&self.queue, Message::new(i.to_string()))).collect();
        for result in publisher.publish(&batch).await {
            result.expect("published");
        }
    }

    /// Closes the broker, and deletes the queue over another.
    pub async fn end(self) {
        self.broker.close().await.expect("closed");
        let broker = connect(&self.url).await.expect("the server answers");
        for queue in [format!("{}.dead", self.queue), self.queue] {
            broker.delete(&queue).await.expect("deleted");
        }
        broker.close().await.expect("closed");
    }
}

/// A name that no other test and no other run has.
pub fn unique(test: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("test-{test}-{}-{}", now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn many(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The next delivery, within ten seconds; temporary errors are waited out.
pub async fn next(provider: &dyn MessageProvider) -> Delivery {
    take(provider, 1).await.pop().expect("one")
}

/// So many deliveries, within thirty seconds between them; temporary errors are waited out.
pub async fn take(provider: &dyn MessageProvider, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match provider.receive(many(count - taken.len()), secs(30)).await {
            Ok(deliveries) if deliveries.is_empty() => panic!("only {} of {count} deliveries came", taken.len()),
            Ok(deliveries) => taken.extend(deliveries),
            Err(error) if error.is_temporary() => {}
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

/// Checks that nothing more comes.
pub async fn nothing(provider: &dyn MessageProvider) {
    let deliveries = provider.receive(many(10), Duration::from_millis(500)).await.expect("no error");
    assert!(deliveries.is_empty(), "{deliveries:?}");
}

pub async fn settle(provider: &dyn MessageProvider, delivery: &Delivery, outcome: Outcome) {
    provider.settle(&[Settlement::new(delivery.receipt(), outcome)]).await.expect("settled");
}

pub async fn ack_all(provider: &dyn MessageProvider, deliveries: &[Delivery]) {
    let settlements: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
    provider.settle(&settlements).await.expect("settled");
}

pub fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body().to_vec()).expect("text")
}

/// What went wrong.
pub fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.map_err(|error: Error| error.kind()).expect_err("it fails")
}

/// Deletes an exchange as a stranger would, behind the broker's back.
pub async fn delete_exchange(exchange: &str) {
    let connection = lapin::Connection::connect(&lapin_url(), lapin::ConnectionProperties::default()).await;
    let channel = connection.expect("the server answers").create_channel().await.expect("a channel");
    channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.expect("deleted");
}

/// The server's URL as lapin understands it.
pub fn lapin_url() -> String {
    let url = url();
    if url.matches('/').count() == 2 { url + "/%2f" } else { url }
}
