//! What RabbitMQ notes when a message leaves a queue otherwise than by a provider: the header `x-death`, newest first.

use std::collections::BTreeMap;

use swarrot_core::message::names;
use swarrot_core::{Headers, Message, Reason, Value};

use crate::topology::delay;

pub(super) const DEATHS: &str = "x-death";

/// Takes out what is no failure, the end of a delay; and says in our own words what became of a message that the
/// broker itself has put into the dead-letter queue that it comes from now.
pub(super) fn translate(message: &mut Message, queue: &str) {
    forget_delays(&mut message.headers);
    let Some(Value::List(deaths)) = message.headers.get(DEATHS) else { return };
    let Some(Value::Map(last)) = deaths.first() else { return };
    let last = last.clone();
    let from = text(&last, "queue");
    if from.is_some_and(|from| names::dead_letter_queue(from) == queue)
        && !message.headers.contains(names::SOURCE_QUEUE)
    {
        note_parked(message, &last);
    }
}

fn note_parked(message: &mut Message, death: &BTreeMap<String, Value>) {
    let attempt = message.retry_attempts() + 1;
    let reason = match text(death, "reason") {
        Some("delivery_limit") => "delivered more often than the queue's limit allows",
        Some("maxlen") => "the queue was full",
        Some(reason) => reason,
        None => "unknown",
    };
    match death.get("time").and_then(Value::as_timestamp) {
        Some(at) => message.note_failure(attempt, at, Some(&Reason::new(reason))),
        None => drop(message.headers.insert(names::REASON, reason)),
    }
    let headers = &mut message.headers;
    if let Some(queue) = text(death, "queue") {
        headers.insert(names::SOURCE_QUEUE, queue);
    }
    headers.insert(names::ATTEMPTS, i64::from(attempt));
    let key = match death.get("routing-keys") {
        Some(Value::List(keys)) => keys.first().and_then(Value::as_str),
        _ => None,
    };
    for (name, value) in [(names::EXCHANGE, text(death, "exchange")), (names::ROUTING_KEY, key)] {
        if let Some(value) = value.filter(|_| !headers.contains(name)) {
            headers.insert(name, value);
        }
    }
}

fn forget_delays(headers: &mut Headers) {
    let is_delay = |value: &Value| match value {
        Value::Map(death) => text(death, "queue").is_some_and(delay::is_bucket),
        _ => false,
    };
    if let Some(Value::List(deaths)) = headers.get(DEATHS) {
        let others: Vec<_> = deaths.iter().filter(|death| !is_delay(death)).cloned().collect();
        if others.len() == deaths.len() {
            return;
        }
        if others.is_empty() {
            headers.remove(DEATHS);
        } else {
            headers.insert(DEATHS, others);
        }
    }
    for which in ["first", "last"] {
        let prefix = format!("x-{which}-death-");
        if headers.get(&format!("{prefix}queue")).and_then(Value::as_str).is_some_and(delay::is_bucket) {
            headers.retain(|name, _| !name.starts_with(&prefix));
        }
    }
}

fn text<'a>(death: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    death.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use swarrot_core::Message;

    use super::*;

    fn death(queue: &str, reason: &str) -> Value {
        let entries = [
            ("queue", Value::from(queue)),
            ("reason", reason.into()),
            ("exchange", "events".into()),
            ("routing-keys", vec![Value::from("user.reset")].into()),
            ("time", Value::Timestamp(1_700_000_000)),
        ];
        Value::Map(entries.map(|(name, value)| (name.to_owned(), value)).into())
    }

    fn translated(deaths: Vec<Value>, queue: &str) -> Message {
        let first = match &deaths[..] {
            [.., Value::Map(first)] => text(first, "queue").expect("a queue").to_owned(),
            _ => panic!("a death"),
        };
        let mut message = Message::new("").header(DEATHS, deaths);
        message.headers.insert("x-first-death-queue", first);
        message.headers.insert("x-first-death-reason", "expired");
        translate(&mut message, queue);
        message
    }

    #[test]
    fn a_delay_leaves_no_trace() {
        assert_eq!(translated(vec![death("swarrot.delay.1000", "expired")], "mails").headers, Headers::new());
        let other = translated(vec![death("swarrot.delay.1000", "expired"), death("mails", "rejected")], "other");
        assert_eq!(other.headers.get("x-first-death-queue").and_then(Value::as_str), Some("mails"));
        assert!(matches!(other.headers.get(DEATHS), Some(Value::List(deaths)) if deaths.len() == 1));
    }

    #[test]
    fn what_the_broker_parked_says_why() {
        let parked = translated(vec![death("mails", "expired")], "mails.dead");
        let failure = parked.failure().expect("it failed");
        assert_eq!((failure.reason.as_deref(), failure.source_queue.as_deref()), (Some("expired"), Some("mails")));
        assert_eq!((failure.first_at, failure.last_at), (Some(1_700_000_000), Some(1_700_000_000)));
        assert_eq!((failure.history.len(), failure.history[0].reason.as_str()), (1, "expired"));
        assert_eq!(parked.headers.get(names::ROUTING_KEY).and_then(Value::as_str), Some("user.reset"));
        // Elsewhere it is no business of ours.
        assert_eq!(translated(vec![death("mails", "expired")], "other").failure(), None);
    }
}
