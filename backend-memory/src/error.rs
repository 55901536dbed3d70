//! The errors of this backend, each in one place and one wording.

use std::time::Duration;

use swarrot_core::{Error, ErrorKind};

pub(crate) fn queue_not_found(queue: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the queue does not exist; declare it first").with_target(queue)
}

pub(crate) fn exchange_not_found(exchange: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the exchange does not exist; declare it first").with_target(exchange)
}

pub(crate) fn closed(what: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("the {what} was closed; make a new one"))
}

pub(crate) fn stale() -> Error {
    Error::new(ErrorKind::Stale, "the delivery is not held any more: settled before, given back, or its lease was lost")
}

pub(crate) fn cut() -> Error {
    Error::new(ErrorKind::Connection, "the connection was cut; it is up again, call once more")
}

pub(crate) fn unroutable(exchange: &str, routing_key: &str) -> Error {
    let message = if exchange.is_empty() {
        format!("there is no queue {routing_key:?}; declare it, or publish to the exchange that is bound to it")
    } else {
        format!("no queue is bound for the routing key {routing_key:?}; bind one, or mend the key")
    };
    Error::new(ErrorKind::Unroutable, message).with_target(exchange)
}

pub(crate) fn no_dead_letter_queue(queue: &str) -> Error {
    let message =
        "the dead-letter queue does not exist; declare the queue with DeadLetter::Park, or let the provider drop";
    Error::new(ErrorKind::Unroutable, message).with_target(queue)
}

pub(crate) fn full(queue: &str, limit: u64) -> Error {
    let message = format!("the queue is full, its limit is {limit} messages; try again once it has been worked off");
    Error::new(ErrorKind::Rejected, message).with_target(queue)
}

pub(crate) fn delay_too_long(delay: Duration, max: Duration) -> Error {
    let (delay, max) = (delay.as_secs(), max.as_secs());
    Error::new(ErrorKind::Unsupported, format!("a delay of {delay} s is over the limit of {max} s; delay it in steps"))
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
