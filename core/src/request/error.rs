//! Why a request has no answer.

use std::time::Duration;

use crate::error::Error;
use crate::message::Message;

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not published.
    #[error("the request was not published")]
    Publish(#[source] Error),
    /// No reply came in time. The request may have been handled, or may still be.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The handler failed and said so; with its reply, whose body is the error in words.
    #[error("the request failed: {}", String::from_utf8_lossy(&.0.body))]
    Failed(Box<Message>),
    /// The reply does not decode, or the request's value does not encode.
    #[error(transparent)]
    Decode(Error),
    /// The requester was closed, or its broker was.
    #[error("the requester is closed")]
    Closed,
}
