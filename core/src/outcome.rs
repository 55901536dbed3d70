//! What a handler decided, and why.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Done: the broker forgets the message.
    #[default]
    Ack,
    /// Try again `after` this time, as a new attempt. A copy is with the broker before the original is settled.
    Retry {
        /// How long the message is held back; zero is at once.
        after: Duration,
        /// Why, for the message's history.
        reason: Option<Reason>,
    },
    /// A failed attempt that goes back into the queue at once. The broker counts it where it counts deliveries.
    /// It can come back immediately; prefer [`Outcome::Retry`].
    Requeue,
    /// Give up: the message is parked in the queue's dead-letter queue.
    Reject {
        /// Why, for whoever looks at the dead letters.
        reason: Reason,
    },
    /// Not attempted: give it back, uncounted where the broker can tell the difference.
    Release,
}

impl Outcome {
    /// [`Outcome::Retry`] without a reason.
    pub fn retry(after: Duration) -> Self {
        Self::Retry { after, reason: None }
    }

    /// [`Outcome::Reject`] with this reason.
    pub fn reject(reason: impl Into<Reason>) -> Self {
        Self::Reject { reason: reason.into() }
    }

    /// Whether a copy has to be published before the original is settled.
    pub fn needs_copy(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Reject { .. })
    }
}

/// Why a message was retried or parked: an error and its sources as one line of text, at most [`Reason::MAX_LEN`]
/// bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason(Arc<str>);

impl Reason {
    /// Bytes that are kept: small enough for any backend's headers, whatever an error prints.
    pub const MAX_LEN: usize = 4096;

    /// Sources of an error that are looked at.
    const MAX_SOURCES: usize = 64;

    /// A reason in plain words; what is longer than [`Reason::MAX_LEN`] is cut, and line breaks and other control
    /// characters become spaces.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        if text.contains(char::is_control) {
            return Self::new(text.replace(char::is_control, " "));
        }
        Self(cut(text, Self::MAX_LEN).into())
    }

    /// An error and its sources, joined by `: `.
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        // Some chains have no end.
        for _ in 0..Self::MAX_SOURCES {
            let Some(error) = source.filter(|_| text.len() <= Self::MAX_LEN) else { break };
            let line = error.to_string();
            // Some errors print their source themselves.
            if !text.ends_with(&line) {
                text.push_str(": ");
                text.push_str(&line);
            }
            source = error.source();
        }
        Self::new(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// At most so many bytes of a text, more than a few; what is longer ends with a mark.
pub(crate) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    const MARK: &str = " [cut]";
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let mut end = max.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = Reason::new("é".repeat(4000));
        assert!(reason.as_str().len() <= Reason::MAX_LEN);
        assert!(reason.as_str().ends_with("é [cut]"));
    }

    #[test]
    fn a_reason_is_one_line() {
        let reason = Reason::new("left: 1\n right: 2\r\n\u{1b}[31mred");
        assert_eq!(reason.as_str(), "left: 1  right: 2   [31mred");
    }

    #[test]
    fn a_chain_without_end_is_cut() {
        #[derive(Debug)]
        struct Ring;
        impl fmt::Display for Ring {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("round and round")
            }
        }
        impl StdError for Ring {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(self)
            }
        }
        assert_eq!(Reason::from_error(&Ring).as_str(), "round and round");
        assert!(!crate::Permanent::is(&Ring));
    }

    #[test]
    fn sources_are_joined_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("sending failed")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("451 busy"));
        assert_eq!(Reason::from_error(&error).as_str(), "sending failed: 451 busy");
    }
}
