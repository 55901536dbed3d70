//! What may be declared, and how two declarations differ.

use std::fmt::Debug;

use swarrot_core::message::names;
use swarrot_core::topology::{Difference, Exchange, ExchangeKind, Queue, Topology, check_name};
use swarrot_core::{DeadLetter, Error, ErrorKind, Result};

/// The queues of a topology with the dead-letter queues that they imply, checked. One that is declared in the topology
/// itself is not implied.
pub(crate) fn queues(topology: &Topology) -> Result<Vec<(Queue, Origin)>> {
    topology.check()?;
    let mut queues = Vec::new();
    for queue in &topology.queues {
        check(queue)?;
        queues.push((queue.clone(), Origin::Declared));
        let dead = names::dead_letter_queue(&queue.name);
        if queue.dead_letter == DeadLetter::Park && !topology.queues.iter().any(|q| q.name == dead) {
            check_name(&dead)?;
            let plain = Queue::new(dead).kind(queue.kind).dead_letter(DeadLetter::Drop).delivery_limit(None);
            queues.push((plain, Origin::Implied));
        }
    }
    Ok(queues)
}

/// Why a queue is in a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By its name.
    Declared,
    /// As the dead-letter queue of another: one that exists already will do, whatever its arguments.
    Implied,
}

fn check(queue: &Queue) -> Result<()> {
    if !queue.arguments.is_empty() {
        let names = queue.arguments.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("unknown arguments: {names}; a memory queue has none of its own");
        return Err(Error::new(ErrorKind::Unsupported, message).with_target(&queue.name));
    }
    Ok(())
}

/// Fails if a queue exists with other arguments, and says which.
pub(crate) fn check_equal(existing: &Queue, declared: &Queue) -> Result<()> {
    conflict("queue", &existing.name, &differences(existing, declared))
}

/// What differs between a queue that exists and one that is declared.
pub(crate) fn differences(existing: &Queue, declared: &Queue) -> Vec<Difference> {
    [
        differs("kind", Some(existing.kind), Some(declared.kind)),
        differs("dead_letter", Some(existing.dead_letter), Some(declared.dead_letter)),
        differs("max_priority", existing.max_priority, declared.max_priority),
        differs("message_ttl", existing.message_ttl, declared.message_ttl),
        differs("max_length", existing.max_length, declared.max_length),
        differs("delivery_limit", existing.delivery_limit, declared.delivery_limit),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fails if an exchange exists with another kind.
pub(crate) fn check_equal_exchange(existing: ExchangeKind, declared: &Exchange) -> Result<()> {
    conflict("exchange", &declared.name, &differences_of_exchange(existing, declared))
}

/// What differs between an exchange that exists and one that is declared.
pub(crate) fn differences_of_exchange(existing: ExchangeKind, declared: &Exchange) -> Vec<Difference> {
    differs("kind", Some(existing), Some(declared.kind)).into_iter().collect()
}

fn differs<T: Debug + PartialEq>(name: &str, existing: Option<T>, declared: Option<T>) -> Option<Difference> {
    let text = |value: Option<T>| value.map(|value| format!("{value:?}").to_lowercase());
    (existing != declared).then(|| Difference::new(name, text(existing), text(declared)))
}

fn conflict(what: &str, name: &str, differences: &[Difference]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    let message = format!("the {what} exists with other arguments: {}; delete it first", differences.join(", "));
    Err(Error::new(ErrorKind::Conflict, message).with_target(name))
}
