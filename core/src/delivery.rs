//! A message handed to a handler.

use std::any::Any;
use std::sync::Arc;

use crate::extensions::Extensions;
use crate::message::{Headers, Message, Value, names};
use crate::receipt::Receipt;

/// A message handed to a handler. Cheap to clone: body, properties and headers are shared.
///
/// There is no way to settle it from here: the worker does that with the handler's [`Outcome`](crate::Outcome).
#[derive(Clone, Debug)]
pub struct Delivery {
    message: Arc<Message>,
    queue: Arc<str>,
    /// `None` is the default exchange, which has no name.
    exchange: Option<Arc<str>>,
    routing_key: Arc<str>,
    system: &'static str,
    receipt: Receipt,
    redelivered: bool,
    count: Option<u32>,
    extensions: Extensions,
}

impl Delivery {
    /// A delivery as a backend makes it: from this queue, not yet redelivered, published to the default exchange.
    pub fn new(queue: impl Into<Arc<str>>, receipt: Receipt, message: impl Into<Arc<Message>>) -> Self {
        let queue = queue.into();
        Self {
            message: message.into(),
            exchange: None,
            routing_key: Arc::clone(&queue),
            queue,
            system: "",
            receipt,
            redelivered: false,
            count: None,
            extensions: Extensions::default(),
        }
    }

    /// Says how the message was routed. A retried message keeps what its headers say about its first publishing.
    pub fn routed(mut self, exchange: impl Into<Arc<str>>, routing_key: impl Into<Arc<str>>) -> Self {
        let first = |name| self.message.headers.get(name).and_then(Value::as_str).map(Arc::from);
        let first_exchange = first(names::EXCHANGE);
        let first_key = first(names::ROUTING_KEY);
        self.exchange = Some(first_exchange.unwrap_or_else(|| exchange.into())).filter(|name| !name.is_empty());
        self.routing_key = first_key.unwrap_or_else(|| routing_key.into());
        self
    }

    /// Says whether the broker has delivered it before, and how often in all, where the broker counts.
    pub fn delivered(mut self, redelivered: bool, delivery_count: Option<u32>) -> Self {
        self.redelivered = redelivered;
        self.count = delivery_count;
        self
    }

    /// The same delivery with another receipt, for a provider that is made of others.
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = receipt;
        self
    }

    /// Says which messaging system it is from, unless it says so already. A worker does that, by its provider's
    /// [`Capabilities::system`](crate::Capabilities::system).
    pub fn with_system(mut self, system: &'static str) -> Self {
        if self.system.is_empty() {
            self.system = system;
        }
        self
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message's body.
    pub fn body(&self) -> &bytes::Bytes {
        &self.message.body
    }

    /// The message's headers.
    pub fn headers(&self) -> &Headers {
        &self.message.headers
    }

    /// The message's id; empty if its publisher set none.
    pub fn id(&self) -> &str {
        self.message.properties.message_id.as_deref().unwrap_or_default()
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The messaging system it came from, as [`Capabilities::system`](crate::Capabilities::system) names it; empty if
    /// unknown.
    pub fn system(&self) -> &'static str {
        self.system
    }

    /// The exchange to which it was published first; empty for the default exchange.
    pub fn exchange(&self) -> &str {
        self.exchange.as_deref().unwrap_or_default()
    }

    /// The routing key with which it was published first.
    pub fn routing_key(&self) -> &str {
        &self.routing_key
    }

    /// The token by which its provider settles it.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Which attempt this is, from 1: one more than the retries that the message's headers count.
    pub fn attempt(&self) -> u32 {
        self.message.retry_attempts() + 1
    }

    /// Whether the broker has (or may have) delivered it before.
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// How often the broker has delivered it, this time included, where it counts
    /// ([`Capabilities::delivery_count`](crate::Capabilities::delivery_count)). Deliveries that never reached a handler count too.
    pub fn delivery_count(&self) -> Option<u32> {
        self.count
    }

    /// Adds a value for the handlers further in, found by its type; a layer does that.
    pub fn insert_extension<T: Any + Send + Sync>(&mut self, value: T) {
        self.extensions.insert(Arc::new(value));
    }

    /// The value of this type that a layer has added.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.extensions.get()
    }
}
