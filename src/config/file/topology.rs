//! Exchanges, queues and bindings.

use std::collections::BTreeMap;
use std::time::Duration;

use swarrot_core::DeadLetter;
use swarrot_core::topology::{Exchange, ExchangeKind, Queue, QueueKind, Topology, check_name};
use toml::de::DeValue;

use super::super::read::{FromValue, Keys, Name, Named, OrOff, Value, choices, options, shown};
use super::brokers::is_known;

options! {
    /// Exchanges, queues and bindings of one broker, declared before the first worker or publisher uses it.
    pub(in crate::config) struct TopologyKeys {
        /// Whether they are declared: `true`, `false`, or `"verify"` to create nothing but check that all are there.
        declare: Option<Declare> => "true",
        /// Exchanges: names and their kinds.
        exchanges: Named<ExchangeKind> = {},
        /// Queues, by name.
        queues: Named<QueueKeys> = {},
        /// Bindings, a list.
        bindings: Vec<BindingKeys> = [],
    }
}

options! {
    /// A queue. An empty table is a durable, replicated queue with a dead-letter queue.
    pub(in crate::config) struct QueueKeys {
        /// Replicated over the nodes of a cluster, or on one node.
        kind: QueueKind = "quorum",
        /// What becomes of messages given up on: parked in `<queue>.dead`, or dropped.
        dead_letter: DeadLetter = "park",
        /// Priorities from 0 to this number.
        max_priority: Option<u8> => "no priorities",
        /// How long a message may wait in it before it expires.
        message_ttl: Option<Duration>,
        /// How many messages may wait in it; beyond, publishes are refused.
        max_length: Option<u64>,
        /// How often a message may come back before the broker parks it, where the broker counts.
        delivery_limit: Option<OrOff> => "100",
        /// Further arguments of the backend's own, such as `x-single-active-consumer = true`.
        arguments: Named<Argument> = {},
    }
}

options! {
    /// What the exchange gets with a matching routing key goes to the queue.
    pub(in crate::config) struct BindingKeys {
        /// From this exchange.
        exchange: Name,
        /// To this queue.
        queue: Name,
        /// The key, or the pattern for a topic exchange, such as `user.*.mail` or `user.#`.
        routing_key: Option<String> => "empty",
    }
}

choices!(ExchangeKind: "direct" => Self::Direct, "topic" => Self::Topic, or "fanout" => Self::Fanout);
choices!(QueueKind: "quorum" => Self::Quorum, or "classic" => Self::Classic);
choices!(DeadLetter: "park" => Self::Park, or "drop" => Self::Drop);

/// Whether a topology is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum Declare {
    #[default]
    Yes,
    No,
    Verify,
}

impl FromValue for Declare {
    const EXPECTED: &'static str = "true, false or \"verify\"";
    const KIND: &'static str = "`true`, `false` or `\"verify\"`";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.word(Self::EXPECTED, |word| match word {
            "true" => Some(Self::Yes),
            "false" => Some(Self::No),
            "verify" => Some(Self::Verify),
            _ => None,
        })
    }
}

/// A value of a backend's own argument.
#[derive(Clone, Debug)]
pub(in crate::config) struct Argument(swarrot_core::Value);

impl FromValue for Argument {
    const EXPECTED: &'static str = "a text, a number, true or false, a list or a table";
    const KIND: &'static str = "any value but a date";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        type Core = swarrot_core::Value;
        let inner = match value.node() {
            DeValue::String(_) => Core::from(String::from_value(value)?),
            DeValue::Integer(_) => Core::Int(value.integer(Self::EXPECTED)?),
            DeValue::Float(_) => Core::Float(value.float(Self::EXPECTED)?),
            DeValue::Boolean(is) => Core::Bool(*is),
            DeValue::Array(_) => Core::List(Vec::<Self>::from_value(value)?.into_iter().map(|item| item.0).collect()),
            DeValue::Table(_) => {
                let entries = Named::<Self>::from_value(value)?.0;
                Core::Map(entries.into_iter().map(|(name, value)| (name, value.0)).collect())
            }
            DeValue::Datetime(_) => {
                value.refuse_as(Self::EXPECTED);
                return None;
            }
        };
        Some(Self(inner))
    }
}

/// What is declared on one broker.
#[derive(Clone, Debug)]
pub(in crate::config) struct TopologyTable {
    /// `None` if the file does not say.
    pub(in crate::config) declare: Option<Declare>,
    pub(in crate::config) topology: Topology,
}

impl FromValue for TopologyTable {
    const EXPECTED: &'static str = TopologyKeys::EXPECTED;
    const KIND: &'static str = TopologyKeys::KIND;

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let is_known = is_known(value, value.name(), true);
        let names_are_right = ["exchanges", "queues"].map(|key| check_names(value, key)) == [true, true];
        let keys = TopologyKeys::from_value(value)?;
        (is_known && names_are_right).then(|| Self { declare: keys.declare, topology: topology(keys) })
    }

    fn keys() -> Option<Keys> {
        TopologyKeys::keys()
    }
}

/// Checks the names of exchanges or queues.
fn check_names(value: &Value<'_>, key: &str) -> bool {
    let named = value.table().and_then(|table| table.entry(key)).and_then(|entry| entry.as_table());
    let mut all_right = true;
    for (name, value) in named.iter().flat_map(super::super::read::Table::entries) {
        if check_name(name).is_err() {
            value.refuse(format!("{} cannot be {}", shown(name), Name::EXPECTED));
            all_right = false;
        }
    }
    all_right
}

fn topology(keys: TopologyKeys) -> Topology {
    let mut topology = Topology::new();
    for (name, kind) in keys.exchanges.0 {
        let mut exchange = Exchange::direct(name);
        exchange.kind = kind;
        topology = topology.exchange(exchange);
    }
    for (name, keys) in keys.queues.0 {
        topology = topology.queue(queue(name, keys));
    }
    for binding in keys.bindings {
        topology = topology.bind(binding.exchange.0, binding.queue.0, binding.routing_key.unwrap_or_default());
    }
    topology
}

fn queue(name: String, keys: QueueKeys) -> Queue {
    let mut queue = Queue::new(name).kind(keys.kind).dead_letter(keys.dead_letter);
    queue.max_priority = keys.max_priority;
    queue.message_ttl = keys.message_ttl;
    queue.max_length = keys.max_length;
    if let Some(limit) = keys.delivery_limit {
        queue.delivery_limit = limit.number();
    }
    queue.arguments = keys.arguments.0.into_iter().map(|(name, value)| (name, value.0)).collect::<BTreeMap<_, _>>();
    queue
}
