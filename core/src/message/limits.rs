//! Limits on the size of a message.

use super::{Message, names};
use crate::error::{Error, ErrorKind, Result};

/// How large a message may be. A publisher refuses what is larger; a worker parks it.
///
/// The defaults protect a process from hostile input and fit the frames of every backend. The headers that swarrot itself
/// adds to a retried message do not count, and may have values of [`Limits::OWN_VALUE`] bytes, so that no retry takes a
/// message over a limit; nor does the trace that a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the body: 16 MiB.
    pub body: usize,
    /// Number of headers: 64.
    pub headers: usize,
    /// Bytes of a header's name: 255, the most that AMQP 0-9-1 carries.
    pub header_name: usize,
    /// Bytes of a header's value: 8 KiB.
    pub header_value: usize,
    /// Levels of lists and maps in a header's value: 8.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 16 << 20, headers: 64, header_name: 255, header_value: 8 << 10, nesting: 8 }
    }
}

impl Limits {
    /// Bytes of the value of a header of swarrot's own, where the limit for others is lower.
    pub const OWN_VALUE: usize = 8 << 10;

    /// Checks a message's size.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), with what is too large and the limit.
    pub fn check_size(&self, message: &Message) -> Result<()> {
        let too_large = |what: String| Err(Error::new(ErrorKind::TooLarge, what));
        if message.body.len() > self.body {
            return too_large(format!(
                "the body has {} bytes, the limit is {}; store it elsewhere and send a reference",
                message.body.len(),
                self.body
            ));
        }
        let counts = |name: &str| !names::is_own(name) && ![names::TRACEPARENT, names::TRACESTATE].contains(&name);
        let headers = message.headers.iter().filter(|(name, _)| counts(name)).count();
        if headers > self.headers {
            return too_large(format!("{headers} headers, the limit is {}", self.headers));
        }
        for (name, value) in message.headers.iter() {
            if name.len() > self.header_name {
                return too_large(format!(
                    "a header's name has {} bytes, the limit is {}",
                    name.len(),
                    self.header_name
                ));
            }
            // Depth before size: both walk the value without recursion.
            let (depth, size) = (value.depth(), value.size());
            if depth > self.nesting {
                return too_large(format!("header {name:?} is nested {depth} deep, the limit is {}", self.nesting));
            }
            let limit = if names::is_own(name) { self.header_value.max(Self::OWN_VALUE) } else { self.header_value };
            if size > limit {
                return too_large(format!("header {name:?} has {size} bytes, the limit is {limit}"));
            }
        }
        Ok(())
    }

    /// Checks a message that a user wants to publish: its size and the names of its headers.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) or, for a header whose name is reserved,
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    pub fn check_outgoing(&self, message: &Message) -> Result<()> {
        self.check_size(message)?;
        for (name, _) in message.headers.iter() {
            if name.starts_with(names::PREFIX) || name.starts_with(names::BROKER_PREFIX) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("header {name:?} is reserved; choose a name that does not begin with swarrot_ or x-"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, Reason, Receipt, message::Value};

    fn kind(message: &Message) -> Option<ErrorKind> {
        Limits::default().check_outgoing(message).err().map(|e| e.kind())
    }

    #[test]
    fn each_limit_refuses() {
        assert_eq!(kind(&Message::new("fine").header("also", "fine")), None);
        assert_eq!(kind(&Message::new(vec![0; (16 << 20) + 1])), Some(ErrorKind::TooLarge));
        assert_eq!(kind(&Message::new("").header("k".repeat(256), 1_i64)), Some(ErrorKind::TooLarge));
        assert_eq!(kind(&Message::new("").header("k", "v".repeat(8193))), Some(ErrorKind::TooLarge));
        let deep = (0..9).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_eq!(kind(&Message::new("").header("k", deep)), Some(ErrorKind::TooLarge));
        let traced = |headers| {
            let traced = Message::new("").header(names::TRACEPARENT, "00-1-2-01").header(names::TRACESTATE, "a=b");
            (0..headers).fold(traced, |message, i| message.header(format!("h{i}"), 1_i64))
        };
        assert_eq!((kind(&traced(64)), kind(&traced(65))), (None, Some(ErrorKind::TooLarge)));
        let many = (0..65).fold(Message::new(""), |m, i| m.header(format!("h{i}"), 1_i64));
        assert_eq!(kind(&many), Some(ErrorKind::TooLarge));
    }

    #[test]
    fn a_retry_takes_no_message_over_a_limit() {
        let full = (0..64).fold(Message::new(""), |m, i| m.header(format!("h{i}"), "v".repeat(10)));
        let limits = Limits { header_value: 10, ..Limits::default() };
        limits.check_size(&full).expect("at the limits");
        let mut retried = Delivery::new("q", Receipt::new(1, 1), full);
        for _ in 0..20 {
            let copy = retried.retry_copy(Some(&Reason::new("e".repeat(10_000))));
            limits.check_size(&copy).expect("a retry");
            retried = Delivery::new("q", Receipt::new(1, 1), copy);
        }
        let parked = retried.dead_letter_copy(&Reason::new("e".repeat(10_000)));
        limits.check_size(&parked).expect("a dead letter");
    }

    #[test]
    fn reserved_names_are_refused() {
        assert_eq!(kind(&Message::new("").header("swarrot_retry_attempts", 1_i64)), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(&Message::new("").header("x-death", 1_i64)), Some(ErrorKind::InvalidInput));
    }
}
