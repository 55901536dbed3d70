//! Where messages go, by message type.

use std::time::Duration;

use super::super::publisher_layers::PublisherLayerEntry;
use super::super::read::{FromValue, Keys, Name, Value, options};
use super::brokers::{BrokerName, only};

options! {
    /// Where messages of one type go. What a message or a call says itself counts more.
    pub(in crate::config) struct PublisherKeys {
        /// The broker.
        broker: Option<BrokerName> => "the only one",
        /// The exchange.
        exchange: Option<Name> => "the default exchange, whose routing keys are names of queues",
        /// The routing key; on the default exchange the queue's name.
        routing_key: Option<String> => "empty; required on the default exchange",
        /// What messages say of their type.
        message_type: Option<String> => "the name of this table",
        /// The MIME type of the body.
        content_type: Option<String>,
        /// Which application published it.
        app_id: Option<String>,
        /// Notes in each message when it was published, in whole seconds.
        timestamp: bool = false,
        /// Priority in a queue that has priorities; higher is served first.
        priority: Option<u8>,
        /// How long a message may wait in a queue before it expires.
        ttl: Option<Duration>,
        /// How long the broker holds a message back.
        delay: Option<Duration>,
        /// How long a message may wait for its confirmation, reconnects included.
        timeout: Option<Duration> => "\"30s\"",
        /// What wraps the publisher; the first is the outermost, and sees a message first.
        layers: Vec<PublisherLayerEntry> = [],
    }
}

/// Where messages of one type go, with its broker.
#[derive(Clone, Debug)]
pub(in crate::config) struct PublisherTable {
    pub(in crate::config) broker: String,
    pub(in crate::config) keys: PublisherKeys,
}

impl FromValue for PublisherTable {
    const EXPECTED: &'static str = PublisherKeys::EXPECTED;
    const KIND: &'static str = PublisherKeys::KIND;

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let table = value.table()?;
        if table.entry("exchange").is_none() && table.entry("routing_key").is_none() {
            value.refuse(format!(
                "{} goes nowhere; add routing_key = with a queue's name, or exchange = with an exchange's",
                value.path()
            ));
        }
        let only = only(&table);
        let keys = PublisherKeys::from_value(value)?;
        let broker = keys.broker.as_ref().map(|name| name.0.clone()).or(only)?;
        Some(Self { broker, keys })
    }

    fn keys() -> Option<Keys> {
        PublisherKeys::keys()
    }
}
