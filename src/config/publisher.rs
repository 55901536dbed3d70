//! Publishing by message type.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::{Message, MessagePublisher, MessagePublisherExt, Outgoing, PublisherOptions, Result, unix_time};
use tokio::sync::Mutex;

use super::config::Config;
use super::file::PublisherTable;
use super::publisher_layers::PublisherLayerEntry;

/// Publishes messages of one type where the file says that they go. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    config: Config,
    message_type: Arc<str>,
    table: Arc<PublisherTable>,
}

/// A message and what is different for it. What a message says itself, such as its priority, counts before the file too.
///
/// ```
/// use swarrot::Message;
/// use swarrot::config::Publish;
///
/// let publish = Publish::new(Message::new("hello").priority(9)).routing_key("mails.high");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it does nothing until it is published"]
pub struct Publish {
    message: Message,
    exchange: Option<String>,
    routing_key: Option<String>,
    delay: Option<Duration>,
}

impl Publish {
    /// This message, as the file says.
    pub fn new(message: Message) -> Self {
        Self { message, exchange: None, routing_key: None, delay: None }
    }

    /// Publishes it to this exchange of the same broker.
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// Publishes it with this routing key.
    pub fn routing_key(mut self, routing_key: impl Into<String>) -> Self {
        self.routing_key = Some(routing_key.into());
        self
    }

    /// Holds it back for this long; zero is at once.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }
}

impl From<Message> for Publish {
    fn from(message: Message) -> Self {
        Self::new(message)
    }
}

impl Publisher {
    pub(super) fn new(config: Config, message_type: &str, table: Arc<PublisherTable>) -> Self {
        Self { config, message_type: message_type.into(), table }
    }

    /// The message type, by its name in the file.
    pub fn message_type(&self) -> &str {
        &self.message_type
    }

    /// Publishes one message. `Ok`: the broker has taken responsibility for it.
    ///
    /// # Errors
    /// As [`MessagePublisher::publish`] answers for it, and [`Broker::publisher`](swarrot_core::Broker::publisher) for an
    /// exchange that is asked for the first time.
    ///
    /// # Cancel safety
    /// A dropped call has published the message, or not.
    pub async fn publish(&self, message: impl Into<Publish>) -> Result<()> {
        let mut publish = message.into();
        let publisher = self.open(publish.exchange.take()).await?;
        publisher.publish_one(self.outgoing(publish)).await
    }

    /// Publishes several messages in one go, and answers with one result for each, in order.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), where an exchange cannot be asked; then nothing was published to it. The results are
    /// those of each message.
    ///
    /// # Cancel safety
    /// A dropped call has published each message, or not.
    pub async fn publish_all(&self, messages: impl IntoIterator<Item = Message>) -> Result<Vec<Result<()>>> {
        let batch: Vec<_> = messages.into_iter().map(|message| self.outgoing(message.into())).collect();
        Ok(self.open(None).await?.publish(&batch).await)
    }

    /// The publisher to this exchange, or to that of the file.
    pub(super) async fn open(&self, exchange: Option<String>) -> Result<Arc<dyn MessagePublisher>> {
        let keys = &self.table.keys;
        let exchange = exchange.or_else(|| keys.exchange.as_ref().map(|name| name.0.clone())).unwrap_or_default();
        let layered = (!keys.layers.is_empty()).then(|| Arc::clone(&self.message_type));
        let to = To { broker: self.table.broker.clone(), exchange, timeout: keys.timeout, layered };
        self.config.open().publisher(&self.config, to, &keys.layers).await
    }

    fn outgoing(&self, publish: Publish) -> Outgoing {
        let keys = &self.table.keys;
        let Publish { mut message, routing_key, delay, .. } = publish;
        let properties = &mut message.properties;
        let or = |own: &mut Option<String>, default: Option<&str>| {
            if own.is_none() {
                *own = default.map(str::to_owned);
            }
        };
        or(&mut properties.message_type, Some(keys.message_type.as_deref().unwrap_or(&self.message_type)));
        or(&mut properties.content_type, keys.content_type.as_deref());
        or(&mut properties.app_id, keys.app_id.as_deref());
        if keys.timestamp {
            properties.timestamp.get_or_insert_with(unix_time);
        }
        properties.priority = properties.priority.or(keys.priority);
        properties.ttl = properties.ttl.or(keys.ttl);
        let routing_key = routing_key.or_else(|| keys.routing_key.clone()).unwrap_or_default();
        let outgoing = Outgoing::new(routing_key, message);
        match delay.or(keys.delay) {
            Some(delay) => outgoing.delay(delay),
            None => outgoing,
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("message_type", &self.message_type).finish_non_exhaustive()
    }
}

/// Where a publisher publishes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct To {
    broker: String,
    exchange: String,
    timeout: Option<Duration>,
    /// By the layers of this message type; `None` without layers.
    layered: Option<Arc<str>>,
}

/// Publishers that are open, shared by all types that go to the same exchange in the same way.
#[derive(Default)]
pub(super) struct Open(Mutex<HashMap<To, Arc<dyn MessagePublisher>>>);

impl Open {
    async fn publisher(
        &self,
        config: &Config,
        to: To,
        layers: &[PublisherLayerEntry],
    ) -> Result<Arc<dyn MessagePublisher>> {
        // One at a time, so that none is opened twice; it is held only while one is opened.
        let mut open = self.0.lock().await;
        if let Some(publisher) = open.get(&to) {
            return Ok(Arc::clone(publisher));
        }
        let plain = To { layered: None, ..to.clone() };
        let publisher = match open.get(&plain) {
            Some(publisher) => Arc::clone(publisher),
            None => Self::open(config, &plain).await?,
        };
        open.insert(plain, Arc::clone(&publisher));
        let publisher = layers.iter().rev().fold(publisher, |inner, layer| layer.0.wrap(inner));
        open.insert(to, Arc::clone(&publisher));
        Ok(publisher)
    }

    async fn open(config: &Config, to: &To) -> Result<Arc<dyn MessagePublisher>> {
        let mut options = PublisherOptions::default();
        if let Some(timeout) = to.timeout {
            options = options.timeout(timeout);
        }
        let broker = config.broker(&to.broker)?.ready().await?;
        broker.publisher(&to.exchange, options).await
    }
}
