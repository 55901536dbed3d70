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
    /// It is there with other arguments. A declaration fails.
    Different(Vec<Difference>),
    /// The broker does not tell, and why.
    Unknown(String),
}

/// An argument of a part that is not as it is asked for. As text: `max_length is 10 and was declared as none`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The argument, as the broker calls it, such as `max_length` or `x-max-length`.
    pub name: String,
    /// What there is; `None` if the argument is not set.
    pub existing: Option<String>,
    /// What is asked for; `None` if the argument is not set.
    pub declared: Option<String>,
}

impl Difference {
    /// An argument of this name that is one thing and was declared as another.
    pub fn new(name: impl Into<String>, existing: Option<String>, declared: Option<String>) -> Self {
        Self { name: name.into(), existing, declared }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [existing, declared] = [&self.existing, &self.declared].map(|value| value.as_deref().unwrap_or("none"));
        write!(f, "{} is {existing} and was declared as {declared}", self.name)
    }
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
