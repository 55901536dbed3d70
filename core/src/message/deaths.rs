//! What a broker notes by itself when a message leaves a queue otherwise than by a provider, in the way of AMQP 0-9-1's
//! dead-letter exchanges: the header `x-death`, a list of maps, one for each queue and reason.

use std::collections::BTreeMap;

use super::failure::seconds;
use super::{Message, Value};

const DEATHS: &str = "x-death";
/// Deaths of messages that nobody was handling.
const UNTOUCHED: [&str; 2] = ["expired", "maxlen"];

/// What a message has behind it in one queue, such as one that dead-letters what failed to a waiting queue from which
/// it comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deaths {
    /// How often it was handled there and left the queue as a dead letter.
    pub(crate) handled: u32,
    /// When it first left the queue as a dead letter, in seconds since the Unix epoch.
    pub(crate) first_at: Option<u64>,
}

impl Deaths {
    /// Those of this message in this queue.
    pub(crate) fn of(message: &Message, queue: &str) -> Self {
        let mut all = Self::default();
        let Some(Value::List(deaths)) = message.headers.get(DEATHS) else { return all };
        for death in deaths {
            let Value::Map(death) = death else { continue };
            if text(death, "queue") != Some(queue) {
                continue;
            }
            let at = death.get("time").and_then(seconds);
            all.first_at = [all.first_at, at].into_iter().flatten().min();
            if !text(death, "reason").is_some_and(|reason| UNTOUCHED.contains(&reason)) {
                let count = death.get("count").and_then(Value::as_int).unwrap_or(1);
                all.handled = all.handled.saturating_add(u32::try_from(count.max(0)).unwrap_or(u32::MAX));
            }
        }
        all
    }
}

/// Whether a header is a broker's record of dead-lettering and delivery. A copy that carried these would be taken for a
/// cycle and dropped.
pub(super) fn is_bookkeeping(name: &str) -> bool {
    const PREFIXES: [&str; 5] = [DEATHS, "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn text<'a>(death: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    death.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(queue: &str, reason: &str, count: i64, time: u64) -> Value {
        let entries: [(&str, Value); 4] = [
            ("queue", queue.into()),
            ("reason", reason.into()),
            ("count", count.into()),
            ("time", Value::Timestamp(time)),
        ];
        Value::Map(entries.map(|(name, value)| (name.to_owned(), value)).into())
    }

    #[test]
    fn the_entries_of_the_queue_count() {
        let deaths = vec![
            death("waiting", "expired", 5, 100),
            death("mails", "rejected", 5, 200),
            death("mails", "expired", 2, 150),
            death("other", "rejected", 9, 1),
            Value::from("no death"),
        ];
        let message = Message::new("").header(DEATHS, deaths);
        assert_eq!(Deaths::of(&message, "mails"), Deaths { handled: 5, first_at: Some(150) });
        assert_eq!(Deaths::of(&message, "waiting"), Deaths { handled: 0, first_at: Some(100) });
        assert_eq!(Deaths::of(&message, "elsewhere"), Deaths::default());
        assert_eq!(Deaths::of(&Message::new(""), "mails"), Deaths::default());
    }

    #[test]
    fn strange_counts_do_no_harm() {
        let message = Message::new("").header(
            DEATHS,
            vec![death("q", "rejected", i64::MAX, 0), death("q", "rejected", 2, 0), death("q", "other", -4, 0)],
        );
        assert_eq!(Deaths::of(&message, "q").handled, u32::MAX);
    }
}
