//! What the headers of a message say about its failures.

use std::fmt::Write as _;

use super::{Message, Value, names};
use crate::outcome::{Reason, cut};

/// What the headers of a retried or parked message say about its failures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The queue from which it was parked.
    pub source_queue: Option<String>,
    /// Attempts made before it was parked.
    pub attempts: u32,
    /// When it failed first, in seconds since the Unix epoch.
    pub first_at: Option<u64>,
    /// When it failed last, in seconds since the Unix epoch.
    pub last_at: Option<u64>,
    /// The last error and its sources.
    pub reason: Option<String>,
    /// The last failures, oldest first: at most [`Failure::MAX_HISTORY`]. They outlive a redrive, after which the attempts
    /// begin anew.
    pub history: Vec<FailedAttempt>,
}

/// One failure in the history of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When it failed, in seconds since the Unix epoch.
    pub at: u64,
    /// The error and its sources, cut to [`Failure::MAX_HISTORY_REASON`] bytes; empty if none was given.
    pub reason: String,
}

impl Failure {
    /// Failures that the history keeps; with their reasons that is less than 3 KiB of headers.
    pub const MAX_HISTORY: usize = 10;
    /// Bytes of each reason in the history.
    pub const MAX_HISTORY_REASON: usize = 256;
}

impl Message {
    /// What the headers say about earlier failures; `None` if it never failed.
    pub fn failure(&self) -> Option<Failure> {
        let header = |name| self.headers.get(name);
        let last_at = header(names::LAST_FAILURE).and_then(seconds);
        let reason = header(names::REASON).and_then(Value::as_str).map(str::to_owned);
        if last_at.is_none() && reason.is_none() {
            return None;
        }
        let parked_after = header(names::ATTEMPTS).and_then(Value::as_int).and_then(|n| u32::try_from(n).ok());
        Some(Failure {
            source_queue: header(names::SOURCE_QUEUE).and_then(Value::as_str).map(str::to_owned),
            attempts: parked_after.unwrap_or_else(|| self.retry_attempts()),
            first_at: header(names::FIRST_FAILURE).and_then(seconds),
            last_at,
            reason,
            history: history(header(names::HISTORY)),
        })
    }

    /// Notes in the headers that this attempt failed, at this time in seconds since the Unix epoch. The copies that
    /// [`Delivery`](crate::Delivery) makes do so; a backend whose broker parks messages by itself calls it for those.
    pub fn note_failure(&mut self, attempt: u32, at: u64, reason: Option<&Reason>) {
        let mut history = history(self.headers.get(names::HISTORY));
        history.push(FailedAttempt { attempt, at, reason: reason.map_or("", Reason::as_str).to_owned() });
        self.headers.insert(names::HISTORY, lines(&history));
        if !self.headers.contains(names::FIRST_FAILURE) {
            self.headers.insert(names::FIRST_FAILURE, Value::Timestamp(at));
        }
        self.headers.insert(names::LAST_FAILURE, Value::Timestamp(at));
        if let Some(reason) = reason {
            self.headers.insert(names::REASON, reason.as_str());
        }
    }
}

/// A time of ours, in seconds since the Unix epoch. PHP's clients make a plain number of it when they publish a copy.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    value.as_timestamp().or_else(|| value.as_int().and_then(|n| u64::try_from(n).ok()))
}

fn history(header: Option<&Value>) -> Vec<FailedAttempt> {
    let text = header.and_then(Value::as_str).unwrap_or_default();
    let mut last: Vec<_> = text.rsplit('\n').filter_map(parse).take(Failure::MAX_HISTORY).collect();
    last.reverse();
    last
}

fn parse(line: &str) -> Option<FailedAttempt> {
    let mut parts = line.splitn(3, '\t');
    let (attempt, at) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(FailedAttempt { attempt, at, reason: parts.next()?.to_owned() })
}

/// The last of them. A reason has neither tabs nor line breaks.
fn lines(history: &[FailedAttempt]) -> String {
    let mut text = String::new();
    for FailedAttempt { attempt, at, reason } in &history[history.len().saturating_sub(Failure::MAX_HISTORY)..] {
        let separator = if text.is_empty() { "" } else { "\n" };
        // Cut also when read from elsewhere: a stranger may have written it.
        let reason = cut(reason, Failure::MAX_HISTORY_REASON);
        // Writing into a string does not fail.
        let _ = write!(text, "{separator}{attempt}\t{at}\t{reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(message: &Message) -> Vec<(u32, u64, String)> {
        let failure = message.failure().expect("it failed");
        failure.history.into_iter().map(|failed| (failed.attempt, failed.at, failed.reason)).collect()
    }

    #[test]
    fn the_last_failures_are_kept() {
        let mut message = Message::new("");
        for attempt in 1..=25 {
            message.note_failure(attempt, 1000 + u64::from(attempt), Some(&Reason::new(format!("{attempt}\tbusy\n"))));
        }
        let expected: Vec<_> = (16..=25).map(|n| (n, 1000 + u64::from(n), format!("{n} busy "))).collect();
        assert_eq!(noted(&message), expected);
        let failure = message.failure().expect("it failed");
        assert_eq!((failure.first_at, failure.last_at), (Some(1001), Some(1025)));
    }

    #[test]
    fn the_history_is_bounded_in_bytes() {
        let mut message = Message::new("");
        for _ in 0..20 {
            message.note_failure(u32::MAX, u64::MAX, Some(&Reason::new("é".repeat(5000))));
        }
        assert_eq!(noted(&message).len(), Failure::MAX_HISTORY);
        let size = message.headers.get(names::HISTORY).map_or(0, Value::size);
        assert!(size < 3 << 10, "{size}");
        assert!(noted(&message)[0].2.ends_with("é [cut]"));
    }

    #[test]
    fn a_failure_without_a_reason_is_noted_too() {
        let mut message = Message::new("");
        message.note_failure(1, 5, Some(&Reason::new("busy")));
        message.note_failure(2, 9, None);
        assert_eq!(noted(&message), [(1, 5, "busy".to_owned()), (2, 9, String::new())]);
        assert_eq!(message.failure().and_then(|failure| failure.reason).as_deref(), Some("busy"));
    }

    #[test]
    fn what_others_made_of_it_does_no_harm() {
        let strange = format!("nonsense\n1\t2\n3\tx\ty\n\n4\t5\t{}\n-1\t0\tz", "long".repeat(20_000));
        for value in [Value::from(strange), Value::Int(7), Value::from("[2000 bytes left out]"), Value::List(vec![])] {
            let mut message = Message::new("").header(names::HISTORY, value);
            message.note_failure(5, 6, Some(&Reason::new("new")));
            let last = noted(&message).pop().expect("the new one");
            assert_eq!(last, (5, 6, "new".to_owned()));
            assert!(message.headers.get(names::HISTORY).map_or(0, Value::size) < 3 << 10);
        }
    }

    #[test]
    fn times_that_became_plain_numbers_are_read() {
        let message = Message::new("").header(names::FIRST_FAILURE, 5_i64).header(names::LAST_FAILURE, 7_i64);
        let failure = message.failure().expect("it failed");
        assert_eq!((failure.first_at, failure.last_at), (Some(5), Some(7)));
    }
}
