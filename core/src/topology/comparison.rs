//! How what there is differs from what a topology asks for.

use std::fmt;

use super::Binding;

/// A part of a topology, and whether the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// The part.
    pub part: Part,
    /// Whether the broker has it.
    pub state: PartState,
}

impl Comparison {
    /// A part as the broker has it.
    pub fn new(part: Part, state: PartState) -> Self {
        Self { part, state }
    }
}

/// A part of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The exchange of this name.
    Exchange(String),
    /// The queue of this name.
    Queue(String),
    /// The dead-letter queue of this name, which another queue implies. One that exists will do, whatever its arguments.
    DeadLetterQueue(String),
    /// This binding.
    Binding(Binding),
}

/// Whether a broker has a part of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartState {
    /// It is not there; a declaration creates it.
    Missing,
    /// It is there, and as it should be.
    Same,
    /// It is there with other arguments: each difference in words. A declaration fails.
    Different(Vec<String>),
    /// The broker does not tell, and why.
    Unknown(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(name) => write!(f, "exchange {name}"),
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::DeadLetterQueue(name) => write!(f, "dead-letter queue {name}"),
            Self::Binding(Binding { exchange, queue, routing_key }) => {
                write!(f, "binding of {queue} to {exchange} by {routing_key:?}")
            }
        }
    }
}
