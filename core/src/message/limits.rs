//! Limits on the size of a message.

use super::{Message, names};
use crate::error::{Error, ErrorKind, Result};

/// How large a message may be. A publisher refuses what is larger; a worker parks it.
///
/// The defaults protect a process from hostile input and fit the frames of every backend.
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
        if message.headers.len() > self.headers {
            return too_large(format!("{} headers, the limit is {}", message.headers.len(), self.headers));
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
            if size > self.header_value {
                return too_large(format!("header {name:?} has {size} bytes, the limit is {}", self.header_value));
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
    use crate::message::Value;

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
        let many = (0..65).fold(Message::new(""), |m, i| m.header(format!("h{i}"), 1_i64));
        assert_eq!(kind(&many), Some(ErrorKind::TooLarge));
    }

    #[test]
    fn reserved_names_are_refused() {
        assert_eq!(kind(&Message::new("").header("swarrot_retry_attempts", 1_i64)), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(&Message::new("").header("x-death", 1_i64)), Some(ErrorKind::InvalidInput));
    }
}
