//! How what there is differs from what a topology asks for.

use std::collections::BTreeMap;

use swarrot_core::message::names;
use swarrot_core::topology::{Comparison, Difference, Exchange, Part, PartState, Topology};
use swarrot_core::{DeadLetter, Error, ErrorKind, Result, Value};

use super::{Desk, arguments, declare_exchange, declare_queue, inspect};
use crate::error::Inequivalent;

/// Differences that are looked for in one queue; it has fewer arguments.
const MAX_DIFFERENCES: usize = 32;

/// Compares a topology with what there is.
///
/// AMQP tells whether a queue is there, and tells of its arguments only in its refusal to declare it with others, one at a
/// time. So what is there is declared as it should be, then with the one argument as it is, and so on until it is the same.
pub(crate) async fn compare(desk: &mut Desk<'_>, topology: &Topology, passive: bool) -> Result<Vec<Comparison>> {
    topology.check()?;
    let server = desk.server().await?;
    // What cannot be had is refused first.
    let queues: Result<Vec<_>> =
        topology.queues.iter().map(|queue| Ok((queue, arguments::of_queue(queue, &server)?))).collect();
    let mut parts = Vec::new();
    for exchange in &topology.exchanges {
        let state = compare_exchange(desk, exchange, passive).await?;
        parts.push(Comparison::new(Part::Exchange(exchange.name.clone()), state));
    }
    for (queue, arguments) in queues? {
        let state = compare_queue(desk, &queue.name, arguments, passive).await?;
        parts.push(Comparison::new(Part::Queue(queue.name.clone()), state));
        let dead = names::dead_letter_queue(&queue.name);
        if queue.dead_letter == DeadLetter::Park && !topology.queues.iter().any(|q| q.name == dead) {
            let state = if is_there(inspect(desk, &dead).await)? { PartState::Same } else { PartState::Missing };
            parts.push(Comparison::new(Part::DeadLetterQueue(dead), state));
        }
    }
    for binding in &topology.bindings {
        let state = PartState::Unknown(
            "AMQP has no way to look at bindings; apply makes sure of it, and `rabbitmqctl list_bindings` shows it"
                .to_owned(),
        );
        parts.push(Comparison::new(Part::Binding(binding.clone()), state));
    }
    Ok(parts)
}

fn is_there<T>(looked: Result<T>) -> Result<bool> {
    match looked {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

async fn compare_exchange(desk: &mut Desk<'_>, exchange: &Exchange, passive: bool) -> Result<PartState> {
    if !is_there(declare_exchange(desk, exchange, true).await)? {
        return Ok(PartState::Missing);
    }
    if passive {
        return Ok(there_at_least());
    }
    match declare_exchange(desk, exchange, false).await {
        Ok(()) => Ok(PartState::Same),
        Err(error) => {
            what_is_refused(error).map(|refused| PartState::Different(vec![difference(&refused)])).or_else(may_not)
        }
    }
}

async fn compare_queue(
    desk: &mut Desk<'_>,
    name: &str,
    mut arguments: BTreeMap<String, Value>,
    passive: bool,
) -> Result<PartState> {
    if !is_there(inspect(desk, name).await)? {
        return Ok(PartState::Missing);
    }
    if passive {
        return Ok(there_at_least());
    }
    let mut differences: Vec<Difference> = Vec::new();
    while differences.len() < MAX_DIFFERENCES {
        let Err(error) = declare_queue(desk, name, &arguments).await else { break };
        let refused = match what_is_refused(error) {
            Ok(refused) => refused,
            // With arguments of both, it may be refused for what they are together.
            Err(error) if !differences.is_empty() && !error.is_temporary() => break,
            Err(error) => return may_not(error),
        };
        let difference = difference(&refused);
        if differences.contains(&difference) {
            break;
        }
        differences.push(difference);
        match refused.existing.value() {
            _ if refused.existing.is_none() => drop(arguments.remove(&refused.argument)),
            Some(value) => drop(arguments.insert(refused.argument, value)),
            // Not an argument, such as whether it is durable.
            None => break,
        }
    }
    Ok(if differences.is_empty() { PartState::Same } else { PartState::Different(differences) })
}

fn what_is_refused(error: Error) -> Result<Inequivalent> {
    Inequivalent::of(&error).ok_or(error)
}

fn difference(refused: &Inequivalent) -> Difference {
    Difference::new(&refused.argument, refused.existing.text(), refused.declared.text())
}

fn there_at_least() -> PartState {
    PartState::Unknown("it is there; a passive topology does not compare arguments".to_owned())
}

fn may_not(error: Error) -> Result<PartState> {
    match error.kind() {
        ErrorKind::AccessRefused => {
            Ok(PartState::Unknown("it is there; comparing its arguments needs the right to declare it".to_owned()))
        }
        _ => Err(error),
    }
}
