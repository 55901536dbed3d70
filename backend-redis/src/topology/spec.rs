//! What may be declared, how it is stored, and how two declarations differ.

use std::collections::HashMap;

use swarrot_core::message::names;
use swarrot_core::topology::{Difference, ExchangeKind, Queue, QueueKind, Topology, check_name};
use swarrot_core::{DeadLetter, Error, ErrorKind, Result};

use crate::error::unsupported;

/// A queue's declaration, as far as this backend has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    kind: QueueKind,
    pub(crate) dead_letter: DeadLetter,
    max_length: Option<u64>,
    pub(crate) delivery_limit: Option<u32>,
    /// In a topology as the dead-letter queue of another: one that exists already will do, whatever its arguments.
    pub(crate) implied: bool,
}

impl Spec {
    /// The queues of a topology with the dead-letter queues that they imply, checked. One that is declared in the topology
    /// itself is not implied.
    pub(super) fn of(topology: &Topology) -> Result<Vec<Self>> {
        topology.check()?;
        let mut specs: Vec<Self> = Vec::new();
        for queue in &topology.queues {
            let spec = Self::new(queue)?;
            if let Some(earlier) = specs.iter().find(|s| s.name == spec.name) {
                spec.check_equal(&earlier.fields().into_iter().collect())?;
                continue;
            }
            specs.push(spec);
        }
        let declared = specs.clone();
        for spec in declared.iter().filter(|spec| spec.dead_letter == DeadLetter::Park) {
            let name = names::dead_letter_queue(&spec.name);
            if !specs.iter().any(|s| s.name == name) {
                check_name(&name)?;
                let (dead_letter, max_length, delivery_limit) = (DeadLetter::Drop, None, None);
                specs.push(Self { name, kind: spec.kind, dead_letter, max_length, delivery_limit, implied: true });
            }
        }
        Ok(specs)
    }

    fn new(queue: &Queue) -> Result<Self> {
        let refused = if queue.max_priority.is_some() {
            Some("a queue on Redis has no priorities; use one queue for each and PriorityProvider".to_owned())
        } else if queue.message_ttl.is_some() {
            Some("messages on Redis do not expire; leave message_ttl out".to_owned())
        } else if queue.arguments.is_empty() {
            None
        } else {
            let names = queue.arguments.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Some(format!("unknown arguments: {names}; a queue on Redis has none of its own"))
        };
        if let Some(message) = refused {
            return Err(unsupported(message).with_target(&queue.name));
        }
        Ok(Self {
            name: queue.name.clone(),
            kind: queue.kind,
            dead_letter: queue.dead_letter,
            max_length: queue.max_length,
            delivery_limit: queue.delivery_limit,
            implied: false,
        })
    }

    /// As they are stored.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let kind = match self.kind {
            QueueKind::Quorum => "quorum",
            QueueKind::Classic => "classic",
        };
        let dead_letter = match self.dead_letter {
            DeadLetter::Park => "park",
            DeadLetter::Drop => "drop",
        };
        [
            ("kind", Some(kind.to_owned())),
            ("dead_letter", Some(dead_letter.to_owned())),
            ("max_length", self.max_length.map(|n| n.to_string())),
            ("delivery_limit", self.delivery_limit.map(|n| n.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    /// Fails if a queue is stored with other arguments, and says which.
    pub(super) fn check_equal(&self, stored: &HashMap<String, String>) -> Result<()> {
        conflict("queue", &self.name, &self.differences(stored))
    }

    /// What differs between a queue that is stored and this one.
    pub(super) fn differences(&self, stored: &HashMap<String, String>) -> Vec<Difference> {
        let declared: HashMap<String, String> = self.fields().into_iter().collect();
        ["kind", "dead_letter", "max_length", "delivery_limit"]
            .into_iter()
            .map(|name| Difference::new(name, stored.get(name).cloned(), declared.get(name).cloned()))
            .filter(|difference| difference.existing != difference.declared)
            .collect()
    }
}

pub(super) fn conflict(what: &str, name: &str, differences: &[Difference]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    let message = format!("the {what} exists with other arguments: {}; delete it first", differences.join(", "));
    Err(Error::new(ErrorKind::Conflict, message).with_target(name))
}

/// An exchange that is stored with another kind.
pub(super) fn other_kind(stored: &str, declared: &str) -> Difference {
    Difference::new("kind", Some(stored.to_owned()), Some(declared.to_owned()))
}

/// A kind of exchange, as it is stored.
pub(super) fn kind_name(kind: ExchangeKind) -> Result<&'static str> {
    match kind {
        ExchangeKind::Direct => Ok("direct"),
        ExchangeKind::Topic => Ok("topic"),
        ExchangeKind::Fanout => Ok("fanout"),
        other => Err(unsupported(format!("there are no exchanges of the kind {other:?} on Redis"))),
    }
}
