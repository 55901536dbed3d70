//! The copies that a backend publishes when a delivery is retried, parked or redriven: what they keep and what they
//! say. Every backend makes them here, so that they look alike everywhere.

use super::{Headers, Message, Value, deaths, names};
use crate::clock::unix_time;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Reason;

/// Headers that make a broker treat a copy differently from the original: its own bookkeeping, and the keys that would
/// route the copy to further queues.
const NOT_COPIED: [&str; 3] = ["CC", "BCC", "x-delay"];

/// Bytes of headers in a copy. With what swarrot notes beside them they fit the smallest frame that a backend has by default
/// (128 KiB), so that no message is too large to be parked.
const MAX_COPIED: usize = 96 << 10;

impl Delivery {
    /// The copy that a backend publishes to try this delivery again: the retry count is one higher, the times and the
    /// reason of the failure are noted, and where the message came from first. Header values that would leave no room for
    /// that, beyond 96 KiB in all, are replaced by a note of their size, the largest first. If they are too many for that,
    /// headers are left out and [counted](names::LEFT_OUT).
    pub fn retry_copy(&self, reason: Option<&Reason>) -> Message {
        let mut copy = self.clean_copy();
        copy.headers.insert(names::RETRY_ATTEMPTS, i64::from(self.attempt()));
        copy.note_failure(self.attempt(), unix_time(), reason);
        copy
    }

    /// The copy that a backend publishes to this queue's dead-letter queue.
    ///
    /// It does not expire there: a time to live is left out.
    pub fn dead_letter_copy(&self, reason: &Reason) -> Message {
        let mut copy = self.clean_copy();
        copy.properties.ttl = None;
        copy.headers.insert(names::SOURCE_QUEUE, self.queue());
        copy.headers.insert(names::ATTEMPTS, i64::from(self.attempt()));
        copy.note_failure(self.attempt(), unix_time(), Some(reason));
        copy
    }

    /// The same without the message's own headers, which are [counted](names::LEFT_OUT): for a broker that has no room for
    /// them, since no message is to be too large to be parked.
    pub fn bare_dead_letter_copy(&self, reason: &Reason) -> Message {
        let mut copy = self.dead_letter_copy(reason);
        let names: Vec<_> = copy.headers.iter().map(|(name, _)| name.to_owned()).collect();
        let left_out: Vec<_> = names.into_iter().filter(|name| !names::is_own(name)).collect();
        leave_out(&mut copy.headers, &left_out);
        copy
    }

    /// A parked message as it goes back to where it failed, with the queue's name: the retry count and the message's
    /// [age](Delivery::age) start anew, the history of its failures stays.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the delivery does not say which queue parked it.
    pub fn redrive_copy(&self) -> Result<(String, Message)> {
        let queue = self.message().headers.get(names::SOURCE_QUEUE).and_then(Value::as_str).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the message has no header {}; name the queue it should go to", names::SOURCE_QUEUE),
            )
            .with_target(self.queue())
        })?;
        let mut copy = self.clean_copy();
        for name in [names::RETRY_ATTEMPTS, names::ATTEMPTS, names::SOURCE_QUEUE] {
            copy.headers.remove(name);
        }
        copy.headers.insert(names::REDRIVEN, Value::Timestamp(unix_time()));
        Ok((queue.to_owned(), copy))
    }

    /// The message as it goes into another queue, as it is: counts and history of failures stay, the broker's bookkeeping does
    /// not.
    pub fn moved_copy(&self) -> Message {
        self.clean_copy()
    }

    /// The message without the broker's bookkeeping, with its first exchange and routing key noted.
    fn clean_copy(&self) -> Message {
        let mut copy = self.message().clone();
        copy.headers.retain(|name, _| !deaths::is_bookkeeping(name) && !NOT_COPIED.contains(&name));
        make_room(&mut copy.headers);
        copy.headers.insert(names::EXCHANGE, self.exchange());
        copy.headers.insert(names::ROUTING_KEY, self.routing_key());
        // The broker compares it with the connection's user, who may be another than the first publisher.
        copy.properties.user_id = None;
        copy.ensure_id();
        copy
    }
}

/// Leaves out the largest as long as there is too much in all: values first, in whose place comes a note, and then headers.
fn make_room(headers: &mut Headers) {
    let of = |name: &str, value: &Value| 1 + name.len() + value.encoded_size();
    let mut total: usize = headers.iter().map(|(name, value)| of(name, value)).sum();
    let mut values: Vec<_> = headers.iter().map(|(name, value)| (value.encoded_size(), name.to_owned())).collect();
    values.sort_unstable();
    while total > MAX_COPIED
        && let Some((size, name)) = values.pop()
    {
        let note = Value::String(format!("[{size} bytes left out]"));
        if note.encoded_size() >= size {
            break;
        }
        total -= size - note.encoded_size();
        headers.insert(name, note);
    }
    if total > MAX_COPIED {
        // Swarrot's own are the last to go.
        let mut sizes: Vec<_> =
            headers.iter().map(|(name, value)| (!names::is_own(name), of(name, value), name.to_owned())).collect();
        sizes.sort_unstable();
        let mut sum = 0;
        let fits = |(_, size, _): &(bool, usize, String)| {
            sum += size;
            sum <= MAX_COPIED
        };
        let left_out: Vec<_> = sizes.into_iter().skip_while(fits).map(|(.., name)| name).collect();
        leave_out(headers, &left_out);
    }
}

/// Leaves headers out, and counts them.
fn leave_out(headers: &mut Headers, left_out: &[String]) {
    let before = headers.get(names::LEFT_OUT).and_then(Value::as_int).unwrap_or(0);
    for name in left_out {
        headers.remove(name);
    }
    let count = i64::try_from(left_out.len()).unwrap_or(i64::MAX);
    headers.insert(names::LEFT_OUT, before.saturating_add(count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Receipt;

    fn delivery(message: Message) -> Delivery {
        Delivery::new("mails", Receipt::new(1, 1), message).routed("events", "user.reset")
    }

    #[test]
    fn a_retry_counts_and_keeps_the_first_failure() {
        let first = delivery(Message::new("b")).retry_copy(Some(&Reason::new("smtp: 451")));
        assert_eq!(first.retry_attempts(), 1);
        let mut second = delivery(first.clone());
        second = Delivery::new("mails", Receipt::new(1, 2), second.message().clone()).routed("", "mails");
        let copy = second.retry_copy(None);
        assert_eq!(copy.retry_attempts(), 2);
        assert_eq!(copy.headers.get(names::FIRST_FAILURE), first.headers.get(names::FIRST_FAILURE));
        assert_eq!(copy.failure().and_then(|f| f.reason).as_deref(), Some("smtp: 451"));
        // Where it came from first survives the detour over the default exchange.
        assert_eq!((second.exchange(), second.routing_key()), ("events", "user.reset"));
        assert_eq!(copy.properties.message_id, first.properties.message_id);
    }

    #[test]
    fn the_brokers_bookkeeping_is_not_copied() {
        let foreign = Message::new("")
            .header("x-death", Value::List(vec![]))
            .header("x-first-death-queue", "a")
            .header("x-delivery-count", 3_i64)
            .header("CC", Value::List(vec![Value::from("other")]))
            .header("x-custom", "stays");
        let copy = delivery(foreign).retry_copy(None);
        let names: Vec<_> = copy.headers.iter().map(|(name, _)| name).filter(|n| !n.starts_with("swarrot_")).collect();
        assert_eq!(names, ["x-custom"]);
    }

    #[test]
    fn headers_that_leave_no_room_are_noted() {
        let huge = Message::new("b")
            .header("large", "x".repeat(70 << 10))
            .header("larger", Value::List(vec![Value::from("y".repeat(80 << 10))]))
            .header("small", "kept");
        let copy = delivery(huge).dead_letter_copy(&Reason::new("too large"));
        assert_eq!(copy.headers.get("larger"), Some(&Value::from("[81932 bytes left out]")));
        assert_eq!(copy.headers.get("large").map(Value::size), Some(70 << 10));
        assert_eq!(copy.headers.get("small"), Some(&Value::from("kept")));
    }

    #[test]
    fn of_too_many_headers_some_are_left_out() {
        let many = (0..9000).fold(Message::new("b"), |message, n| message.header(format!("{n:06}"), true));
        let mut parked = delivery(many).dead_letter_copy(&Reason::new("too many"));
        let encoded = |headers: &Headers| -> usize {
            headers.iter().map(|(name, value)| 1 + name.len() + value.encoded_size()).sum()
        };
        assert!((90 << 10..100 << 10).contains(&encoded(&parked.headers)), "{}", encoded(&parked.headers));
        let left = i64::try_from(parked.headers.iter().filter(|(_, value)| **value == Value::Bool(true)).count());
        let left = left.expect("few");
        assert_eq!(parked.headers.get(names::LEFT_OUT), Some(&Value::Int(9000 - left)));
        assert_eq!(parked.failure().and_then(|f| f.reason).as_deref(), Some("too many"));
        // What was counted before counts.
        for n in 0..1000 {
            parked.headers.insert(format!("more {n:06}"), true);
        }
        let again = delivery(parked).retry_copy(None);
        let left = again.headers.iter().filter(|(_, value)| **value == Value::Bool(true)).count();
        let left = i64::try_from(left).expect("few");
        assert_eq!(again.headers.get(names::LEFT_OUT), Some(&Value::Int(10_000 - left)));
    }

    #[test]
    fn what_is_tiny_in_lists_counts_as_a_broker_sends_it() {
        let list = Value::List(vec![Value::from(""); 40_000]);
        let copy = delivery(Message::new("b").header("list", list)).retry_copy(None);
        assert_eq!(copy.headers.get("list"), Some(&Value::from("[240006 bytes left out]")));
    }

    #[test]
    fn a_redrive_goes_back_with_a_fresh_count() {
        let failed = delivery(Message::new("b").header(names::RETRY_ATTEMPTS, 2_i64));
        let dead = failed.dead_letter_copy(&Reason::new("gave up"));
        assert_eq!(dead.failure().map(|f| (f.attempts, f.source_queue)), Some((3, Some("mails".to_owned()))));
        let parked = Delivery::new("mails.dead", Receipt::new(1, 9), dead);
        let (queue, copy) = parked.redrive_copy().expect("it says where it came from");
        assert_eq!((queue.as_str(), copy.retry_attempts()), ("mails", 0));
        assert!(copy.failure().is_some_and(|f| f.reason.as_deref() == Some("gave up")));
        assert_eq!(delivery(Message::new("")).redrive_copy().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
