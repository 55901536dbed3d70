//! Where messages go, by message type.

use std::time::Duration;

use super::super::read::{FromValue, Keys, Name, Value, options};
use super::brokers::BrokerName;

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
        /// Priority in a queue that has priorities; higher is served first.
        priority: Option<u8>,
        /// How long a message may wait in a queue before it expires.
        ttl: Option<Duration>,
        /// How long the broker holds a message back.
        delay: Option<Duration>,
        /// How long a message may wait for its confirmation, reconnects included.
        timeout: Option<Duration> => "30s",
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
        let keys = PublisherKeys::from_value(value)?;
        let table = value.table()?;
        if keys.exchange.is_none() && keys.routing_key.as_deref().is_none_or(str::is_empty) {
            let path = value.path();
            value.refuse(format!(
                "{path} goes nowhere; add routing_key = with a queue's name, or exchange = with an exchange's"
            ));
        }
        Some(Self { broker: BrokerName::of(&table, keys.broker.as_ref())?, keys })
    }

    fn keys() -> Option<Keys> {
        PublisherKeys::keys()
    }
}
