//! What went wrong, in one word and one line.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of an operation on a broker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as a handler may return it.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What failed, on which queue or exchange, and what to do.
///
/// `Display` is one line and does not repeat the [`source`](StdError::source). No credential is ever part of it.
/// Cheap to pass on: one pointer wide; cloning copies two short texts.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    target: Option<String>,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The class of an [`Error`]: what a program can act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker cannot be reached, or the connection broke. Temporary.
    Connection,
    /// The broker did not answer in time. Temporary.
    Timeout,
    /// The broker takes no messages at the moment, such as in a memory alarm. Temporary.
    Blocked,
    /// The broker refused to take a message, such as for a full queue. Temporary.
    Rejected,
    /// A message was sent but its confirmation never came: it may or may not be there. Publishing it again with the
    /// same id is right. Temporary.
    Unknown,
    /// Credentials were refused, or the user lacks a right.
    AccessRefused,
    /// The queue, exchange or virtual host does not exist.
    NotFound,
    /// A queue or exchange exists with other arguments.
    Conflict,
    /// No queue would have received the message.
    Unroutable,
    /// The receipt is from before a reconnect, already settled, or lost to another worker; nothing was sent.
    Stale,
    /// The provider, publisher or broker was closed by its user.
    Closed,
    /// A message, header or name is over a limit.
    TooLarge,
    /// A URL, name or option is malformed.
    InvalidInput,
    /// This backend, server version or queue type cannot do that.
    Unsupported,
    /// A body or header does not decode, or a value does not encode.
    Decode,
    /// Anything else that the broker or its client reported.
    Broker,
}

impl ErrorKind {
    /// Its name in lower case, for labels and fields: one of a few, and the same in every version.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Blocked => "blocked",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::AccessRefused => "access_refused",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unroutable => "unroutable",
            Self::Stale => "stale",
            Self::Closed => "closed",
            Self::TooLarge => "too_large",
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::Decode => "decode",
            Self::Broker => "broker",
        }
    }

    /// Whether the same call may succeed later with nothing changed.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Connection | Self::Timeout | Self::Blocked | Self::Rejected | Self::Unknown)
    }
}

impl Error {
    /// An error of this kind; `message` says what failed and what to do, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, operation: "", target: None, message: message.into(), source: None }))
    }

    /// Adds what was being done, such as `publish`; what was said first stays.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
        }
        self
    }

    /// Adds the queue or exchange concerned; what was said first stays.
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.0.target.get_or_insert_with(|| target.into());
        self
    }

    /// Adds the error behind this one.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later with nothing changed.
    pub fn is_temporary(&self) -> bool {
        self.0.kind.is_temporary()
    }

    /// What was being done, such as `publish`; empty if unknown.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The queue or exchange concerned.
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// What failed and what to do, without operation and target.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        match (inner.operation, inner.target.as_deref()) {
            ("", None) => {}
            ("", Some(target)) => write!(f, "{target:?}: ")?,
            (operation, None) => write!(f, "{operation}: ")?,
            (operation, Some(target)) => write!(f, "{operation} {target:?}: ")?,
        }
        f.write_str(&inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, "; source: {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_the_source() {
        let error = Error::new(ErrorKind::NotFound, "the queue does not exist; declare it first")
            .with_operation("receive")
            .with_target("mails")
            .with_source(std::io::Error::other("404"));
        assert_eq!(error.to_string(), "receive \"mails\": the queue does not exist; declare it first");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("404"));
        assert!(!error.is_temporary());
    }

    #[test]
    fn what_was_said_first_stays() {
        let error = Error::new(ErrorKind::Timeout, "no answer").with_operation("ack").with_operation("settle");
        assert_eq!(error.operation(), "ack");
    }

    #[test]
    fn a_result_is_one_word_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
