//! Publishing by message type.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swarrot_core::{Message, MessagePublisher, MessagePublisherExt, Outgoing, PublisherOptions, Result, unix_time};
use tokio::sync::OnceCell;

use super::config::Config;
use super::file::PublisherTable;
use super::publisher_layers::PublisherLayerEntry;

/// Publishes messages of one type where the file says that they go. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    config: Config,
    message_type: Arc<str>,
    table: Arc<PublisherTable>,
    /// To the exchange of the file.
    inner: Arc<dyn MessagePublisher>,
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
    pub(super) async fn open(config: &Config, message_type: &str, table: &Arc<PublisherTable>) -> Result<Self> {
        let message_type = message_type.into();
        let exchange = table.keys.exchange.as_ref().map_or("", |name| &name.0);
        let inner = publisher(config, &message_type, table, exchange).await?;
        Ok(Self { config: config.clone(), message_type, table: Arc::clone(table), inner })
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
        let exchange = publish.exchange.take();
        let outgoing = self.outgoing(publish);
        match exchange {
            None => self.inner.publish_one(outgoing).await,
            Some(exchange) => {
                let elsewhere = publisher(&self.config, &self.message_type, &self.table, &exchange).await?;
                elsewhere.publish_one(outgoing).await
            }
        }
    }

    /// Publishes several messages in one go, and answers with one result for each, in order.
    ///
    /// # Errors
    /// Each result is that of a message, as [`MessagePublisher::publish`] has them.
    ///
    /// # Cancel safety
    /// A dropped call has published each message, or not.
    pub async fn publish_all(&self, messages: impl IntoIterator<Item = Message>) -> Vec<Result<()>> {
        let batch: Vec<_> = messages.into_iter().map(|message| self.outgoing(message.into())).collect();
        self.inner.publish(&batch).await
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

/// The publisher of this message type to an exchange.
async fn publisher(
    config: &Config,
    message_type: &Arc<str>,
    table: &PublisherTable,
    exchange: &str,
) -> Result<Arc<dyn MessagePublisher>> {
    let keys = &table.keys;
    let layered = (!keys.layers.is_empty()).then(|| Arc::clone(message_type));
    let to = To { broker: table.broker.clone(), exchange: exchange.to_owned(), timeout: keys.timeout, layered };
    config.open().publisher(config, to, &keys.layers).await
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
pub(super) struct Open(Mutex<HashMap<To, Arc<Cell>>>);

/// Opened by the first who needs it. Each has its own, so that a broker that does not answer holds up none of another's.
type Cell = OnceCell<Arc<dyn MessagePublisher>>;

impl Open {
    async fn publisher(
        &self,
        config: &Config,
        to: To,
        layers: &[PublisherLayerEntry],
    ) -> Result<Arc<dyn MessagePublisher>> {
        let plain = To { layered: None, ..to.clone() };
        let open = self.cell(&plain);
        let open = open.get_or_try_init(|| Self::open(config, &plain)).await?;
        if layers.is_empty() {
            return Ok(Arc::clone(open));
        }
        let wrap = || async { layers.iter().rev().fold(Arc::clone(open), |inner, layer| layer.0.wrap(inner)) };
        Ok(Arc::clone(self.cell(&to).get_or_init(wrap).await))
    }

    fn cell(&self, to: &To) -> Arc<Cell> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(open.entry(to.clone()).or_default())
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
