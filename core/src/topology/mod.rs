//! Exchanges, queues and bindings.

mod comparison;
mod pattern;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::comparison::{Comparison, Difference, Part, PartState};
pub use self::pattern::{CompiledPattern, topic_matches};
use crate::contract::DeadLetter;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Value;

/// Exchanges, queues and bindings to declare together.
///
/// ```
/// use swarrot_core::topology::{Exchange, Queue, Topology};
///
/// let topology = Topology::new()
///     .exchange(Exchange::topic("events"))
///     .queue(Queue::new("mails"))
///     .bind("events", "mails", "user.*.mail");
/// assert_eq!(topology.bindings[0].queue, "mails");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Topology {
    /// Exchanges, declared first.
    pub exchanges: Vec<Exchange>,
    /// Queues, declared with their dead-letter queues.
    pub queues: Vec<Queue>,
    /// Bindings, declared last.
    pub bindings: Vec<Binding>,
}

impl Topology {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an exchange.
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchanges.push(exchange);
        self
    }

    /// Adds a queue.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }

    /// Adds a binding: what the exchange gets with a matching routing key goes to the queue.
    pub fn bind(
        mut self,
        exchange: impl Into<String>,
        queue: impl Into<String>,
        routing_key: impl Into<String>,
    ) -> Self {
        let (exchange, queue, routing_key) = (exchange.into(), queue.into(), routing_key.into());
        self.bindings.push(Binding { exchange, queue, routing_key });
        self
    }

    /// Adds what another one has; what is in both stays once.
    pub fn merge(&mut self, other: &Self) {
        for exchange in &other.exchanges {
            self.exchanges.retain(|e| e.name != exchange.name);
            self.exchanges.push(exchange.clone());
        }
        for queue in &other.queues {
            self.queues.retain(|q| q.name != queue.name);
            self.queues.push(queue.clone());
        }
        for binding in &other.bindings {
            if !self.bindings.contains(binding) {
                self.bindings.push(binding.clone());
            }
        }
    }

    /// Checks every name in it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), as [`check_name`].
    pub fn check(&self) -> Result<()> {
        self.exchanges.iter().try_for_each(|e| check_name(&e.name))?;
        self.queues.iter().try_for_each(|q| check_name(&q.name))
    }
}

/// A queue to declare: durable, replicated, with a dead-letter queue, unless told otherwise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How it is kept.
    pub kind: QueueKind,
    /// What becomes of messages that expire in it or exceed its limits, and of rejected ones.
    pub dead_letter: DeadLetter,
    /// The highest priority in it; `None` for a queue without priorities.
    pub max_priority: Option<u8>,
    /// How long a message may wait in it before it expires.
    pub message_ttl: Option<Duration>,
    /// How many messages may wait in it; beyond, publishes are refused. A retry always fits.
    pub max_length: Option<u64>,
    /// How often a message may come back to the broker before it is parked, where the broker counts.
    pub delivery_limit: Option<u32>,
    /// Further arguments of the backend's own, such as `x-single-active-consumer`.
    pub arguments: BTreeMap<String, Value>,
}

/// How a queue is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// Replicated over the nodes of a cluster; the broker counts deliveries and ends crash loops.
    #[default]
    Quorum,
    /// On one node.
    Classic,
}

impl Queue {
    /// How often a message may come back before the broker parks it, unless told otherwise: 100.
    ///
    /// It is the last resort against a message that kills every worker before it can settle; the worker's own limit is
    /// lower.
    pub const DELIVERY_LIMIT: u32 = 100;

    /// A queue with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: QueueKind::default(),
            dead_letter: DeadLetter::default(),
            max_priority: None,
            message_ttl: None,
            max_length: None,
            delivery_limit: Some(Self::DELIVERY_LIMIT),
            arguments: BTreeMap::new(),
        }
    }

    /// Sets how it is kept.
    pub fn kind(mut self, kind: QueueKind) -> Self {
        self.kind = kind;
        self
    }

    /// Keeps it on one node.
    pub fn classic(self) -> Self {
        self.kind(QueueKind::Classic)
    }

    /// Sets what becomes of messages given up on.
    pub fn dead_letter(mut self, dead_letter: DeadLetter) -> Self {
        self.dead_letter = dead_letter;
        self
    }

    /// Gives it priorities from 0 to `max`.
    pub fn max_priority(mut self, max: u8) -> Self {
        self.max_priority = Some(max);
        self
    }

    /// Lets messages expire after this time.
    pub fn message_ttl(mut self, ttl: Duration) -> Self {
        self.message_ttl = Some(ttl);
        self
    }

    /// Refuses messages beyond this number.
    pub fn max_length(mut self, messages: u64) -> Self {
        self.max_length = Some(messages);
        self
    }

    /// Parks a message once it has come back to the broker more often than this; `None` never does.
    pub fn delivery_limit(mut self, limit: impl Into<Option<u32>>) -> Self {
        self.delivery_limit = limit.into();
        self
    }

    /// Adds an argument of the backend's own.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }
}

/// An exchange to declare; always durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
}

/// How an exchange routes, as in AMQP 0-9-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// To queues bound with exactly the routing key.
    Direct,
    /// To queues bound with a pattern that matches: `*` is one word, `#` is any number of words.
    Topic,
    /// To all bound queues.
    Fanout,
}

impl Exchange {
    /// One that routes by equal keys.
    pub fn direct(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: ExchangeKind::Direct }
    }

    /// One that routes by patterns.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: ExchangeKind::Topic }
    }

    /// One that routes to all.
    pub fn fanout(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: ExchangeKind::Fanout }
    }
}

/// What the exchange gets with a matching routing key goes to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// From this exchange.
    pub exchange: String,
    /// To this queue.
    pub queue: String,
    /// The key, or the pattern for a topic exchange.
    pub routing_key: String,
}

/// Checks the name of a queue or exchange: 1 to 200 of the characters `A-Z a-z 0-9 . _ -`.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput), with what is wrong.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = match name.len() {
        0 => "a name may not be empty".to_owned(),
        1..=200 => match name.chars().find(|c| !allowed(*c)) {
            None => return Ok(()),
            Some(c) => format!("{c:?} is not allowed in a name; use letters, digits, '.', '_' and '-'"),
        },
        length => format!("a name has {length} bytes, the limit is 200"),
    };
    Err(Error::new(ErrorKind::InvalidInput, problem).with_target(name.chars().take(80).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        check_name("mails.high-2_x").expect("fine");
        for bad in ["", "a b", "a/b", "é", &"x".repeat(201)] {
            assert_eq!(check_name(bad).map_err(|e| e.kind()), Err(ErrorKind::InvalidInput), "{bad}");
        }
    }

    #[test]
    fn merging_keeps_the_newer() {
        let mut one = Topology::new().queue(Queue::new("a")).bind("e", "a", "k");
        one.merge(&Topology::new().queue(Queue::new("a").classic()).bind("e", "a", "k"));
        assert_eq!(one.queues, [Queue::new("a").classic()]);
        assert_eq!(one.bindings.len(), 1);
    }
}
