//! Where a message goes, in the words of spans and metrics.

use crate::contract::Outgoing;

/// The entity that a message goes to: the exchange, or the queue if it is the default one. Both are few, unlike the routing
/// keys of an exchange.
pub(super) fn destination<'a>(exchange: &'a str, outgoing: &'a Outgoing) -> &'a str {
    if exchange.is_empty() { &outgoing.routing_key } else { exchange }
}

/// The same for a batch; `None` if it is empty, or if its messages differ.
pub(super) fn common_destination<'a>(exchange: &'a str, batch: &'a [Outgoing]) -> Option<&'a str> {
    let first = destination(exchange, batch.first()?);
    batch.iter().all(|outgoing| destination(exchange, outgoing) == first).then_some(first)
}
