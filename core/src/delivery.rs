//! A message handed to a handler.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::unix_time;
use crate::extensions::Extensions;
use crate::message::{Deaths, Headers, Message, Value, names, seconds};
use crate::receipt::Receipt;

/// A message handed to a handler. Cheap to clone and to pass on, for it is a counted pointer: body, properties, headers and
/// all else are shared.
///
/// There is no way to settle it from here: the worker does that with the handler's [`Outcome`](crate::Outcome).
#[derive(Clone, Debug)]
pub struct Delivery {
    // All of it behind one pointer: each layer's future holds the delivery that it was given.
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    message: Arc<Message>,
    receipt: Receipt,
    system: &'static str,
    queue: Arc<str>,
    /// `None` is the default exchange, which has no name.
    exchange: Option<Arc<str>>,
    routing_key: Arc<str>,
    redelivered: bool,
    count: Option<u32>,
    extensions: Extensions,
}

impl Delivery {
    /// A delivery as a backend makes it: from this queue, not yet redelivered, published to the default exchange.
    pub fn new(queue: impl Into<Arc<str>>, receipt: Receipt, message: impl Into<Arc<Message>>) -> Self {
        let queue = queue.into();
        let shared = Shared {
            message: message.into(),
            receipt,
            system: "",
            exchange: None,
            routing_key: Arc::clone(&queue),
            queue,
            redelivered: false,
            count: None,
            extensions: Extensions::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says how the message was routed. A retried message keeps what its headers say about its first publishing.
    pub fn routed(mut self, exchange: impl Into<Arc<str>>, routing_key: impl Into<Arc<str>>) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        let first = |name| shared.message.headers.get(name).and_then(Value::as_str).map(Arc::from);
        let first_exchange = first(names::EXCHANGE);
        let first_key = first(names::ROUTING_KEY);
        shared.exchange = Some(first_exchange.unwrap_or_else(|| exchange.into())).filter(|name| !name.is_empty());
        shared.routing_key = first_key.unwrap_or_else(|| routing_key.into());
        self
    }

    /// Says whether the broker has delivered it before, and how often in all, where the broker counts.
    pub fn delivered(mut self, redelivered: bool, delivery_count: Option<u32>) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.redelivered = redelivered;
        shared.count = delivery_count;
        self
    }

    /// The same delivery with another receipt, for a provider that is made of others. It costs a copy of all but the message where
    /// somebody keeps a clone.
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        Arc::make_mut(&mut self.shared).receipt = receipt;
        self
    }

    /// Says which messaging system it is from, unless it says so already: a name as in
    /// [`Capabilities::system`](crate::Capabilities::system). A worker does that for a backend that does not, which costs a copy
    /// where the backend keeps a clone.
    pub fn with_system(mut self, system: &'static str) -> Self {
        if self.shared.system.is_empty() && !system.is_empty() {
            Arc::make_mut(&mut self.shared).system = system;
        }
        self
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.shared.message
    }

    /// The message's body.
    pub fn body(&self) -> &bytes::Bytes {
        &self.shared.message.body
    }

    /// The message's headers.
    pub fn headers(&self) -> &Headers {
        &self.shared.message.headers
    }

    /// The message's id; empty if its publisher set none.
    pub fn id(&self) -> &str {
        self.shared.message.properties.message_id.as_deref().unwrap_or_default()
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        &self.shared.queue
    }

    /// The messaging system it came from, as [`Capabilities::system`](crate::Capabilities::system) names it; empty if
    /// unknown.
    pub fn system(&self) -> &'static str {
        self.shared.system
    }

    /// The exchange to which it was published first; empty for the default exchange.
    pub fn exchange(&self) -> &str {
        self.shared.exchange.as_deref().unwrap_or_default()
    }

    /// The routing key with which it was published first.
    pub fn routing_key(&self) -> &str {
        &self.shared.routing_key
    }

    /// The token by which its provider settles it.
    pub fn receipt(&self) -> Receipt {
        self.shared.receipt
    }

    /// Which attempt this is, from 1: one more than the retries that the message's headers count.
    pub fn attempt(&self) -> u32 {
        self.shared.message.retry_attempts() + 1
    }

    /// Whether the broker has (or may have) delivered it before.
    pub fn redelivered(&self) -> bool {
        self.shared.redelivered
    }

    /// How often the broker has delivered it, this time included, where it counts
    /// ([`Capabilities::delivery_count`](crate::Capabilities::delivery_count)). Deliveries that never reached a handler count too.
    pub fn delivery_count(&self) -> Option<u32> {
        self.shared.count
    }

    /// How often the message was delivered from this queue in all, this time included, as far as that is known: by the
    /// broker's own count ([`delivery_count`](Self::delivery_count)), by the retries that its headers count, and by how
    /// often the queue dead-lettered it to a waiting queue that it came back from (RabbitMQ's `x-death`).
    ///
    /// Each of them begins anew where another goes on, so this is their sum. A [redrive](Self::redrive_copy) begins anew
    /// altogether.
    pub fn total_deliveries(&self) -> u32 {
        let deaths = Deaths::of(&self.shared.message, &self.shared.queue).handled;
        self.shared
            .count
            .unwrap_or(1)
            .max(1)
            .saturating_add(self.shared.message.retry_attempts())
            .saturating_add(deaths)
    }

    /// How old the message is, by the earliest time that is known of it: its timestamp property; its first failure, by
    /// swarrot's headers; when this queue first dead-lettered it to a waiting queue (RabbitMQ's `x-death`). After a
    /// [redrive](Self::redrive_copy) it counts from then. `None` if nothing tells.
    ///
    /// Times are whole seconds, and clocks of several machines: what seems to come from the future is of no age.
    pub fn age(&self) -> Option<Duration> {
        let noted = |name| self.shared.message.headers.get(name).and_then(seconds);
        let since = noted(names::REDRIVEN).or_else(|| {
            // A client that knows no "none" writes the beginning of the epoch.
            let published = self.shared.message.properties.timestamp.filter(|at| *at > 0);
            let died = Deaths::of(&self.shared.message, &self.shared.queue).first_at;
            [published, noted(names::FIRST_FAILURE), died].into_iter().flatten().min()
        })?;
        Some(Duration::from_secs(unix_time().saturating_sub(since)))
    }

    /// Adds a value for the handlers further in, found by its type; a layer does that. It costs a copy of all but the message, for the
    /// worker keeps a clone.
    pub fn insert_extension<T: Any + Send + Sync>(&mut self, value: T) {
        Arc::make_mut(&mut self.shared).extensions.insert(Arc::new(value));
    }

    /// The value of this type that a layer has added.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.shared.extensions.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(message: Message) -> Delivery {
        Delivery::new("mails", Receipt::new(1, 1), message)
    }

    fn died(times: i64, at: u64) -> Message {
        let death = [("queue", Value::from("mails")), ("count", times.into()), ("time", Value::Timestamp(at))];
        let death = Value::Map(death.map(|(name, value)| (name.to_owned(), value)).into());
        Message::new("").header("x-death", vec![death])
    }

    #[test]
    fn deliveries_add_up() {
        assert_eq!(delivery(Message::new("")).total_deliveries(), 1);
        assert_eq!(delivery(Message::new("")).delivered(true, Some(4)).total_deliveries(), 4);
        let retried = died(3, 1).header(names::RETRY_ATTEMPTS, 2_i64);
        assert_eq!(delivery(retried).delivered(true, Some(2)).total_deliveries(), 2 + 2 + 3);
        let most = died(i64::MAX, 1).header(names::RETRY_ATTEMPTS, i64::MAX);
        assert_eq!(delivery(most).total_deliveries(), u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_tells_the_age() {
        let now = unix_time();
        let age = |message: Message| delivery(message).age().map(|age| age.as_secs());
        let at = |timestamp: u64| {
            let mut message = Message::new("");
            message.properties.timestamp = Some(timestamp);
            message
        };
        let failed = |at: u64| Value::Timestamp(at);
        let near = |age: Option<u64>, expected: u64| {
            assert!(age.is_some_and(|age| (expected..=expected + 1).contains(&age)), "{age:?} is not {expected}");
        };
        assert_eq!(age(Message::new("")), None);
        assert_eq!(age(at(0)), None, "what PHP's clients write for none");
        near(age(at(now - 100)), 100);
        near(age(at(now + 100)), 0);
        near(age(at(now - 100).header(names::FIRST_FAILURE, failed(now - 50))), 100);
        // Milliseconds in the place of seconds.
        near(age(at(now * 1000).header(names::FIRST_FAILURE, failed(now - 50))), 50);
        near(age(died(1, now - 70).header(names::FIRST_FAILURE, failed(now - 50))), 70);
        near(age(at(now - 100).header(names::REDRIVEN, failed(now - 5))), 5);
        near(age(Message::new("").header(names::FIRST_FAILURE, i64::try_from(now - 9).expect("it fits"))), 9);
        tokio::time::sleep(Duration::from_secs(1000)).await;
        near(age(at(now - 100)), 1100);
    }
}
