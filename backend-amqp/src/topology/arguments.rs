//! What a queue's options are in RabbitMQ's arguments.

use std::collections::BTreeMap;

use swarrot_core::message::names;
use swarrot_core::topology::{Queue, QueueKind};
use swarrot_core::{DeadLetter, Error, ErrorKind, Result, Value};

use crate::connection::Server;
use crate::convert::milliseconds;

/// The arguments of a queue on this server.
///
/// # Errors
/// `Unsupported` for what this kind of queue, or this version of the server, does not have.
pub(crate) fn of_queue(queue: &Queue, server: &Server) -> Result<BTreeMap<String, Value>> {
    let mut arguments = BTreeMap::new();
    let mut set = |name: &str, value: Value| {
        arguments.insert(name.to_owned(), value);
    };
    set("x-queue-type", kind(queue.kind).into());
    let park = queue.dead_letter == DeadLetter::Park;
    if park {
        set("x-dead-letter-exchange", "".into());
        set("x-dead-letter-routing-key", names::dead_letter_queue(&queue.name).into());
    }
    match queue.kind {
        QueueKind::Quorum => {
            if park {
                // The default loses what dies while its dead-letter queue is missing or full.
                set("x-dead-letter-strategy", "at-least-once".into());
                set("x-overflow", "reject-publish".into());
            }
            match queue.delivery_limit {
                Some(limit) => set("x-delivery-limit", limit.into()),
                // From 4.0 on there is a limit of 20 unless told otherwise.
                None if server.is_at_least(4, 0) => set("x-delivery-limit", Value::Int(-1)),
                None => {}
            }
            if let Some(max) = queue.max_priority {
                match super::quorum_priorities(server) {
                    // All of them are there without being declared.
                    Some(highest) if max <= highest => {}
                    Some(highest) => return unsupported(queue, format!("priorities go up to {highest}")),
                    None => {
                        return unsupported(
                            queue,
                            "a quorum queue has priorities from RabbitMQ 4.3 on; declare a classic queue",
                        );
                    }
                }
            }
        }
        QueueKind::Classic => {
            if queue.delivery_limit.is_some_and(|limit| limit != Queue::DELIVERY_LIMIT) {
                return unsupported(queue, "a classic queue does not count deliveries; declare a quorum queue");
            }
            if let Some(max) = queue.max_priority {
                set("x-max-priority", max.into());
            }
        }
    }
    if let Some(ttl) = queue.message_ttl {
        set("x-message-ttl", milliseconds(ttl).map_err(|error| error.with_target(&queue.name))?.into());
    }
    if let Some(length) = queue.max_length {
        let length = i64::try_from(length)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "max_length is too large").with_target(&queue.name))?;
        set("x-max-length", Value::Int(length));
        set("x-overflow", "reject-publish".into());
    }
    // What a user asks for by RabbitMQ's own name wins.
    arguments.extend(queue.arguments.clone());
    Ok(arguments)
}

/// The arguments of a queue's dead-letter queue.
pub(crate) fn of_dead_letter_queue(queue: &Queue, server: &Server) -> BTreeMap<String, Value> {
    let mut arguments = BTreeMap::from([("x-queue-type".to_owned(), kind(queue.kind).into())]);
    if queue.kind == QueueKind::Quorum && server.is_at_least(4, 0) {
        // Whoever looks at dead letters again and again must not lose them to the default limit.
        arguments.insert("x-delivery-limit".to_owned(), Value::Int(-1));
    }
    arguments
}

fn kind(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Quorum => "quorum",
        QueueKind::Classic => "classic",
    }
}

fn unsupported<T>(queue: &Queue, message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, message).with_operation("declare").with_target(&queue.name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(queue: &Queue) -> Vec<String> {
        of_queue(queue, &Server::default()).expect("supported").into_keys().collect()
    }

    #[test]
    fn a_quorum_queue_loses_nothing() {
        let expected = [
            "x-dead-letter-exchange",
            "x-dead-letter-routing-key",
            "x-dead-letter-strategy",
            "x-delivery-limit",
            "x-overflow",
            "x-queue-type",
        ];
        assert_eq!(names(&Queue::new("q")), expected);
        assert_eq!(names(&Queue::new("q").delivery_limit(None).dead_letter(DeadLetter::Drop)), ["x-queue-type"]);
    }

    #[test]
    fn a_classic_queue_has_what_it_can() {
        let queue = Queue::new("q").classic().max_priority(9).max_length(5).message_ttl(Duration::from_secs(1));
        let arguments = of_queue(&queue, &Server::default()).expect("supported");
        assert_eq!(arguments["x-max-priority"], Value::Int(9));
        assert_eq!(arguments["x-message-ttl"], Value::Int(1000));
        assert_eq!(arguments["x-overflow"], Value::from("reject-publish"));
        assert!(!arguments.contains_key("x-delivery-limit"));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for queue in [Queue::new("q").max_priority(5), Queue::new("q").classic().delivery_limit(3)] {
            let error = of_queue(&queue, &Server::default()).expect_err("not there");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn the_users_own_arguments_win() {
        let queue = Queue::new("q").argument("x-overflow", "drop-head").argument("x-single-active-consumer", true);
        let arguments = of_queue(&queue, &Server::default()).expect("supported");
        assert_eq!(arguments["x-overflow"], Value::from("drop-head"));
        assert_eq!(arguments["x-single-active-consumer"], Value::Bool(true));
    }
}
