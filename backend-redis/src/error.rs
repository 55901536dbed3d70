//! The errors of this backend, each in one place and one wording, and what those of Redis mean.

use std::time::Duration;

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};
use swarrot_core::{Error, ErrorKind, Result};

const NO_ANSWER: &str = "the server did not answer in time; try again, or check host, port and network";

pub(crate) fn queue_not_found(queue: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the queue does not exist; declare it first").with_target(queue)
}

pub(crate) fn exchange_not_found(exchange: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the exchange does not exist; declare it first").with_target(exchange)
}

pub(crate) fn closed(what: &str) -> Error {
    Error::new(ErrorKind::Closed, format!("the {what} was closed; make a new one"))
}

pub(crate) fn stale() -> Error {
    Error::new(ErrorKind::Stale, "the delivery is not held any more: settled before, given back, or its lease was lost")
}

pub(crate) fn unroutable(exchange: &str, routing_key: &str) -> Error {
    let message = if exchange.is_empty() {
        format!("there is no queue {routing_key:?}; declare it, or publish to the exchange that is bound to it")
    } else {
        format!("no queue is bound for the routing key {routing_key:?}; bind one, or mend the key")
    };
    Error::new(ErrorKind::Unroutable, message).with_target(exchange)
}

pub(crate) fn no_dead_letter_queue(queue: &str) -> Error {
    let message =
        "the dead-letter queue does not exist; declare the queue with DeadLetter::Park, or let the provider drop";
    Error::new(ErrorKind::Unroutable, message).with_target(queue)
}

pub(crate) fn full(queue: &str) -> Error {
    let message = "the queue is full; try again once it has been worked off";
    Error::new(ErrorKind::Rejected, message).with_target(queue)
}

pub(crate) fn unknown(timeout: Duration) -> Error {
    let message = format!("sent, and no answer came within {timeout:?}; publish it again with the same id");
    Error::new(ErrorKind::Unknown, message)
}

/// What [`describe`] says too of a timer of redis-rs: which ends first, that or ours, is chance.
pub(crate) fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, NO_ANSWER)
}

pub(crate) fn not_replicated(replicas: u32, timeout: Duration) -> Error {
    let message = format!(
        "the server took it, but fewer than {replicas} replicas have it after {timeout:?}; publish it again with the same id"
    );
    Error::new(ErrorKind::Unknown, message)
}

pub(crate) fn delay_too_long(delay: Duration, max: Duration) -> Error {
    let (delay, max) = (delay.as_secs(), max.as_secs());
    Error::new(ErrorKind::Unsupported, format!("a delay of {delay} s is over the limit of {max} s; delay it in steps"))
}

pub(crate) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// A reply that no server of Redis gives.
pub(crate) fn strange_reply() -> Error {
    Error::new(
        ErrorKind::Broker,
        "the server gave an answer that makes no sense; is something else behind this address?",
    )
}

/// What an error of redis-rs means. It shows no credentials: it never has the password, which only AUTH and HELLO carry.
pub(crate) fn from_redis(error: RedisError) -> Error {
    let (kind, message) = describe(&error);
    Error::new(kind, message).with_source(error)
}

fn describe(error: &RedisError) -> (ErrorKind, &'static str) {
    match (error.code(), error.kind()) {
        (Some("NOAUTH" | "WRONGPASS" | "NOPERM"), _) | (_, RedisKind::AuthenticationFailed) => (
            ErrorKind::AccessRefused,
            "the server refused user, password, or the right to run a command; correct them in the URL",
        ),
        _ if is_forbidden_to_script(error) => {
            (ErrorKind::AccessRefused, "the server refused the right to run a command or to touch a key")
        }
        (Some("OOM"), _) => (ErrorKind::Blocked, "the server is out of memory and takes no messages; try again later"),
        (Some("MISCONF"), _) => {
            (ErrorKind::Blocked, "the server cannot write to its disk and takes no messages; try again later")
        }
        (Some("NOREPLICAS"), _) => {
            (ErrorKind::Blocked, "the server has too few replicas and takes no messages; try again later")
        }
        (Some("NOGROUP" | "UNBLOCKED"), _) => (ErrorKind::Connection, "the queue's stream was lost; it is made again"),
        (Some("READONLY" | "MASTERDOWN"), _) => {
            (ErrorKind::Connection, "the server is not the master any more; the master is looked up again")
        }
        (Some("LOADING"), _) => (ErrorKind::Connection, "the server is still loading its data; try again soon"),
        (Some("BUSY"), _) => (ErrorKind::Timeout, "the server is busy with a script; try again soon"),
        (Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN"), _) => {
            (ErrorKind::Connection, "the cluster is moving the queue or lacks its node; try again soon")
        }
        (Some("CROSSSLOT"), _) => {
            (ErrorKind::InvalidInput, "the server is a node of a cluster; use a redis+cluster:// URL")
        }
        (_, RedisKind::Io) if error.is_timeout() => (ErrorKind::Timeout, NO_ANSWER),
        (_, RedisKind::Io) if error.is_connection_refusal() => {
            (ErrorKind::Connection, "nothing listens there; check host and port, or start the server")
        }
        // There is no kind for these two.
        (_, RedisKind::Io) if error.to_string().contains("failed to lookup address") => {
            (ErrorKind::Connection, "the host's name is not known; correct it in the URL, or mend the name service")
        }
        _ if error.to_string().contains("switch database") => {
            (ErrorKind::InvalidInput, "the server has no such database; correct its number in the URL's path")
        }
        (_, RedisKind::Io) => (ErrorKind::Connection, "the connection broke"),
        (_, RedisKind::ClusterConnectionNotFound) => {
            (ErrorKind::Connection, "the cluster's node cannot be reached; try again soon")
        }
        _ if broke_off(error) => (
            ErrorKind::Connection,
            "the connection broke in the middle of an answer; is it a server of Redis that listens there?",
        ),
        (_, RedisKind::Server(ServerErrorKind::ExecAbort)) => (ErrorKind::Broker, "the server ended a script"),
        (_, RedisKind::Parse | RedisKind::UnexpectedReturnType) => {
            (ErrorKind::Broker, "the server gave an answer that makes no sense; is something else behind this address?")
        }
        _ => (ErrorKind::Broker, "the server reported an error"),
    }
}

/// Whether a script was refused a command: the server says so in words only.
fn is_forbidden_to_script(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("user executing the script can't"))
}

/// Whether it is the beginning of an answer that makes no sense: its end is missing. An answer that came whole, and is not
/// what was expected, is of the same kind.
fn broke_off(error: &RedisError) -> bool {
    error.kind() == RedisKind::Parse && error.detail().is_some_and(|detail| detail.starts_with("Parse error"))
}

/// Whether the connection has to be replaced.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    let by_code = matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "NOAUTH" | "MOVED" | "ASK"));
    let by_kind = matches!(error.kind(), RedisKind::Io | RedisKind::Parse | RedisKind::ClusterConnectionNotFound);
    by_code || by_kind || error.is_unrecoverable_error()
}

/// What became of a command that failed.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// It was never sent, or the server refused it.
    NotDone(Error),
    /// It was sent, and no answer came.
    Unanswered(Error),
}

impl CallError {
    pub(crate) fn of(error: RedisError) -> Self {
        let unanswered =
            matches!(error.kind(), RedisKind::Io | RedisKind::Parse | RedisKind::ClusterConnectionNotFound);
        let error = from_redis(error);
        if unanswered { Self::Unanswered(error) } else { Self::NotDone(error) }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotDone(error) | CallError::Unanswered(error) => error,
        }
    }
}

/// Names an operation and its queue in an error.
pub(crate) trait Named<T> {
    fn named(self, operation: &'static str, target: &str) -> Result<T>;
}

impl<T> Named<T> for Result<T> {
    fn named(self, operation: &'static str, target: &str) -> Result<T> {
        self.map_err(|error| error.with_operation(operation).with_target(target))
    }
}
