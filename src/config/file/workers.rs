//! Workers.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use swarrot_core::DeadLetter;

use super::super::gates::GateName;
use super::super::layers::{AnyLayer, LayerEntry};
use super::super::read::{FromValue, Keys, Name, Named, OrOff, Size, Table, Value, options, shown};
use super::brokers::{BrokerName, only};

options! {
    /// A worker: where its messages come from, how many it handles at once, when it stops, and what wraps its handler.
    pub(in crate::config) struct WorkerKeys {
        /// The broker.
        broker: Option<BrokerName> => "the only one",
        /// The queue.
        queue: Option<Name> => "required, unless there are `queues`",
        /// Several queues as one: a list, of which the first is always served first; or a table of names and weights, each served in proportion.
        queues: Option<Queues>,
        /// Deliveries in flight at once. With 1, they are handled in order.
        concurrency: Option<NonZeroUsize> => "1",
        /// Deliveries held at once, those that wait for their turn included; at least the concurrency.
        prefetch: Option<NonZeroU16> => "twice the concurrency",
        /// Loops on tasks of their own, which share the concurrency.
        parallelism: Option<NonZeroUsize> => "1",
        /// Runs each handler on a task of its own, for handlers that compute for long.
        spawned: bool = false,
        /// Stops after this many messages.
        max_messages: Option<NonZeroU64> => "no limit",
        /// Stops after this time.
        max_time: Option<Duration> => "no limit",
        /// Stops once the process uses more memory than this (RSS).
        max_memory: Option<Size> => "no limit",
        /// Stops once the queue is empty.
        stop_when_empty: bool = false,
        /// How long handlers may take to finish after the worker was told to stop.
        deadline: Option<Duration> => "\"30s\"",
        /// Ends with an error once the broker has only failed for this long.
        give_up_after: Option<Duration> => "never",
        /// Parks a message, without running its handler, that the broker has delivered more often than this: it may be one that ends every process which handles it.
        crash_limit: Option<OrOff> => "20",
        /// What becomes of messages given up on: parked in `<queue>.dead`, or dropped.
        dead_letter: DeadLetter = "park",
        /// Acks each message before it is handled: at most once instead of at least once.
        ack_before_handling: bool = false,
        /// Ends with an error once a handler has failed and no layer took care of it.
        stop_on_error: bool = false,
        /// Whether SIGTERM, SIGINT and SIGQUIT stop it.
        signals: bool = true,
        /// How large a message may be to be handled; what is larger is parked.
        limits: Option<LimitKeys>,
        /// Gates that it passes before it fetches, in this order.
        gates: Vec<GateName> = [],
        /// What wraps the handler; the first is the outermost.
        layers: Vec<LayerEntry> = [],
    }
}

options! {
    /// How large a message may be.
    pub(in crate::config) struct LimitKeys {
        /// The body.
        body: Option<Size> => "\"16 MiB\"",
        /// Number of headers.
        headers: Option<usize> => "64",
        /// A header's name.
        header_name: Option<Size> => "\"255 B\"",
        /// A header's value.
        header_value: Option<Size> => "\"8 KiB\"",
        /// Levels of lists and maps in a header's value.
        nesting: Option<usize> => "8",
    }
}

/// Where a worker's messages come from.
#[derive(Clone, Debug)]
pub(in crate::config) enum Queues {
    One(String),
    /// The first before the second, and so on, always.
    Strict(Vec<String>),
    Weighted(Vec<(String, NonZeroU32)>),
}

impl FromValue for Queues {
    const EXPECTED: &'static str =
        "a list such as [\"high\", \"low\"], or a table of weights such as { high = 3, low = 1 }";
    const KIND: &'static str = "list of names, or table of weights";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let queues = match value.node() {
            toml::de::DeValue::Array(_) => {
                Self::Strict(Vec::<Name>::from_value(value)?.into_iter().map(|name| name.0).collect())
            }
            toml::de::DeValue::Table(_) => Self::Weighted(Named::<NonZeroU32>::from_value(value)?.0),
            _ => {
                value.refuse_as(Self::EXPECTED);
                return None;
            }
        };
        let names = queues.names();
        for (index, name) in names.iter().enumerate() {
            if swarrot_core::topology::check_name(name).is_err() {
                value.refuse(format!("{} cannot be {}", shown(name), Name::EXPECTED));
            }
            if names[..index].contains(name) {
                value.refuse(format!("the queue {} is there twice; leave one out", shown(name)));
            }
        }
        if !(1..=255).contains(&names.len()) {
            value.refuse(format!("\"queues\" must be 1 to 255 queues, not {}", names.len()));
        }
        Some(queues)
    }
}

impl Queues {
    pub(in crate::config) fn names(&self) -> Vec<&str> {
        match self {
            Self::One(name) => vec![name],
            Self::Strict(names) => names.iter().map(String::as_str).collect(),
            Self::Weighted(weights) => weights.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }
}

/// A worker, with what it needs.
#[derive(Clone, Debug)]
pub(in crate::config) struct WorkerEntry {
    pub(in crate::config) broker: String,
    pub(in crate::config) queues: Queues,
    pub(in crate::config) layers: Vec<AnyLayer>,
    pub(in crate::config) keys: WorkerKeys,
}

impl FromValue for WorkerEntry {
    const EXPECTED: &'static str = WorkerKeys::EXPECTED;
    const KIND: &'static str = WorkerKeys::KIND;

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let table = value.table()?;
        check_queues(&table);
        let only = only(&table);
        let mut keys = WorkerKeys::from_value(value)?;
        check(&table, &keys);
        let layers = std::mem::take(&mut keys.layers).into_iter().map(|layer| layer.0).collect();
        let queues = keys.queue.take().map(|name| Queues::One(name.0)).or(keys.queues.take())?;
        let broker = keys.broker.as_ref().map(|name| name.0.clone()).or(only)?;
        Some(Self { broker, queues, layers, keys })
    }

    fn keys() -> Option<Keys> {
        WorkerKeys::keys()
    }
}

/// Notes it unless exactly one of two keys says where the messages come from.
fn check_queues(table: &Table<'_>) {
    match (table.entry("queue"), table.entry("queues")) {
        (None, None) => {
            table.value().refuse(format!("{} has no queue; add queue = with its name", table.value().path()));
        }
        (Some(_), Some(queues)) => queues.refuse("\"queue\" and \"queues\" exclude each other; leave one out"),
        _ => {}
    }
}

/// Notes what does not go together.
fn check(table: &Table<'_>, keys: &WorkerKeys) {
    let concurrency = keys.concurrency.map_or(1, NonZeroUsize::get);
    if let Some(prefetch) = keys.prefetch.map(|prefetch| usize::from(prefetch.get()))
        && prefetch < concurrency
    {
        let what = format!(
            "a \"prefetch\" of {prefetch} leaves some of {concurrency} slots empty; raise it to {concurrency} or more, or lower \"concurrency\""
        );
        table.refuse_at("prefetch", what);
    }
    if let Some(parallelism) = keys.parallelism.map(NonZeroUsize::get)
        && parallelism > concurrency
    {
        let what = format!(
            "a \"parallelism\" of {parallelism} leaves loops without a slot, as \"concurrency\" is {concurrency}; raise that or lower this"
        );
        table.refuse_at("parallelism", what);
    }
    if keys.ack_before_handling && keys.stop_on_error {
        // The message of the error is acked by then.
        table.refuse_at(
            "stop_on_error",
            "\"stop_on_error\" loses the message that failed under \"ack_before_handling\"; leave one out",
        );
    }
}
