//! lapin's errors as ours.

use std::time::Duration;

use lapin::ErrorKind as Lapin;
use lapin::protocol::{AMQPError, AMQPErrorKind};
use swarrot_core::{Error, ErrorKind, Result, Value};

/// Waits for an answer of the server, at most so long.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(from_lapin(error).with_operation(operation)),
        Err(_) => Err(Error::new(ErrorKind::Timeout, format!("the server did not answer within {limit:?}"))
            .with_operation(operation)),
    }
}

/// What an error of lapin's means, with that error as its source.
pub(crate) fn from_lapin(error: lapin::Error) -> Error {
    let (kind, message) = match error.kind() {
        Lapin::ProtocolError(protocol) => from_protocol(protocol),
        Lapin::ChannelsLimitReached => {
            (ErrorKind::Broker, "the connection has no channel left; raise channel_max on the server".to_owned())
        }
        Lapin::InvalidProtocolVersion(_) => {
            (ErrorKind::Unsupported, "the server does not speak AMQP 0-9-1; check host and port".to_owned())
        }
        Lapin::AuthProviderError(_) => (ErrorKind::AccessRefused, "the credentials cannot be sent".to_owned()),
        Lapin::SerialisationError(_) => (ErrorKind::Broker, "a frame cannot be written".to_owned()),
        Lapin::MissingHeartbeatError => (ErrorKind::Connection, "the server fell silent".to_owned()),
        Lapin::ParsingError(_) => (ErrorKind::Connection, "the server sent what is not AMQP".to_owned()),
        // Certificates that do not fit do not mend themselves.
        Lapin::IOError(io) if is_tls(io) => (
            ErrorKind::AccessRefused,
            "TLS failed; check the certificates and the host's name, and that the port is one for TLS".to_owned(),
        ),
        _ => (ErrorKind::Connection, "the connection is broken".to_owned()),
    };
    Error::new(kind, message).with_source(error)
}

fn is_tls(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    matches!(error.kind(), InvalidData | InvalidInput)
}

/// What a reply code with its text means.
fn from_protocol(error: &AMQPError) -> (ErrorKind, String) {
    const CONTENT_TOO_LARGE: u16 = 311;
    const ACCESS_REFUSED: u16 = 403;
    const NOT_FOUND: u16 = 404;
    const RESOURCE_LOCKED: u16 = 405;
    const PRECONDITION_FAILED: u16 = 406;
    const NOT_ALLOWED: u16 = 530;
    let text = error.get_message().as_str();
    let said = strip_code(text);
    match error.get_id() {
        CONTENT_TOO_LARGE => (ErrorKind::TooLarge, said.to_owned()),
        // The node that keeps the queue is away, and comes back.
        NOT_FOUND if said.contains("is down or inaccessible") => (ErrorKind::Connection, said.to_owned()),
        NOT_FOUND => (ErrorKind::NotFound, said.to_owned()),
        // It has its limits; others go, and another node may have room.
        NOT_ALLOWED if said.contains("connection limit") => (ErrorKind::Connection, said.to_owned()),
        NOT_ALLOWED if said.contains("vhost") && said.contains("not found") => {
            (ErrorKind::NotFound, format!("{said}; create the virtual host or correct the URL's path"))
        }
        ACCESS_REFUSED if said.starts_with("Login was refused") => (
            ErrorKind::AccessRefused,
            "the server refused the user or the password; correct them in the URL".to_owned(),
        ),
        ACCESS_REFUSED | NOT_ALLOWED => (ErrorKind::AccessRefused, said.to_owned()),
        RESOURCE_LOCKED => (ErrorKind::Conflict, said.to_owned()),
        PRECONDITION_FAILED => match Inequivalent::parse(said) {
            Some(difference) => (ErrorKind::Conflict, difference.to_string()),
            None if said.contains("larger than") && said.contains("max size") => (ErrorKind::TooLarge, said.to_owned()),
            None => (ErrorKind::Broker, said.to_owned()),
        },
        // The connection is gone, whoever is to blame for it.
        _ if matches!(error.kind(), AMQPErrorKind::Hard(_)) => {
            (ErrorKind::Connection, format!("the server ended the connection: {said}"))
        }
        _ => (ErrorKind::Broker, said.to_owned()),
    }
}

/// The text without the code's name before it.
fn strip_code(text: &str) -> &str {
    text.split_once(" - ").map_or(text, |(_, said)| said)
}

/// RabbitMQ's complaint about a declaration: an argument with its declared and its existing value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inequivalent {
    pub(crate) argument: String,
    pub(crate) declared: Told,
    pub(crate) existing: Told,
}

/// A value as RabbitMQ tells of it: `none`, `'10'`, `the value 'quorum' of type 'longstr'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// With its quotes.
    text: String,
    kind: Option<String>,
}

impl Inequivalent {
    /// What an error of a declaration says.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        let lapin = std::error::Error::source(error)?.downcast_ref::<lapin::Error>()?;
        let Lapin::ProtocolError(protocol) = lapin.kind() else { return None };
        Self::parse(strip_code(protocol.get_message().as_str()))
    }

    /// `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '5' but current is '10'`.
    fn parse(said: &str) -> Option<Self> {
        let (argument, rest) = said.strip_prefix("inequivalent arg '")?.split_once('\'')?;
        let (declared, existing) = rest.split_once(": received ")?.1.split_once(" but current is ")?;
        Some(Self { argument: argument.to_owned(), declared: Told::parse(declared), existing: Told::parse(existing) })
    }
}

impl std::fmt::Display for Inequivalent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { argument, declared, existing } = self;
        let (declared, existing) = (&declared.text, &existing.text);
        write!(
            f,
            "it exists with another {argument}: declared {declared}, existing {existing}; declare it alike or delete it first"
        )
    }
}

impl Told {
    fn parse(text: &str) -> Self {
        let wrapped = text.strip_prefix("the value ").and_then(|rest| rest.rsplit_once(" of type "));
        let (text, kind) =
            wrapped.map_or((text, None), |(text, kind)| (text, Some(kind.trim_matches('\'').to_owned())));
        Self { text: text.to_owned(), kind }
    }

    /// Without its quotes.
    pub(crate) fn plain(&self) -> &str {
        self.text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(&self.text)
    }

    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.text == "none"
    }

    /// As text; `None` if there is none.
    pub(crate) fn text(&self) -> Option<String> {
        (!self.is_none()).then(|| self.plain().to_owned())
    }

    /// The value of an argument, where its type is told.
    pub(crate) fn value(&self) -> Option<Value> {
        match self.kind.as_deref()? {
            "longstr" => Some(Value::from(self.plain())),
            "bool" => self.plain().parse().ok().map(Value::Bool),
            _ => self.plain().parse().ok().map(Value::Int),
        }
    }
}

/// How large a message may be, from the server's refusal of a larger one.
pub(crate) fn size_limit(error: &Error) -> Option<usize> {
    if error.kind() != ErrorKind::TooLarge {
        return None;
    }
    error.message().rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: u16, text: &str) -> (ErrorKind, String) {
        from_protocol(&AMQPError::from_id(code, text.into()).expect("a known code"))
    }

    #[test]
    fn a_conflict_names_what_differs() {
        let (kind, message) = kind(
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value \
             'quorum' of type 'longstr' but current is none",
        );
        assert_eq!(kind, ErrorKind::Conflict);
        assert!(message.contains("another x-queue-type: declared 'quorum', existing none;"), "{message}");
    }

    #[test]
    fn codes() {
        for (code, text, expected) in [
            (403, "ACCESS_REFUSED - Login was refused", ErrorKind::AccessRefused),
            (404, "NOT_FOUND - no queue 'q' in vhost '/'", ErrorKind::NotFound),
            (406, "PRECONDITION_FAILED - unknown delivery tag 7", ErrorKind::Broker),
            (320, "CONNECTION_FORCED - Closed via management", ErrorKind::Connection),
            (504, "CHANNEL_ERROR - expected 'channel.open'", ErrorKind::Connection),
            (
                541,
                "INTERNAL_ERROR - access to vhost '/' refused for user 'guest': vhost '/' is down",
                ErrorKind::Connection,
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) is reached",
                ErrorKind::Connection,
            ),
            (
                530,
                "NOT_ALLOWED - connection refused for user 'guest': user connection limit (2) is reached",
                ErrorKind::Connection,
            ),
            (530, "NOT_ALLOWED - vhost v not found", ErrorKind::NotFound),
            (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'guest'", ErrorKind::AccessRefused),
        ] {
            assert_eq!(kind(code, text).0, expected, "{text}");
        }
    }

    #[test]
    fn the_size_limit_is_read_from_the_refusal() {
        let (kind, message) =
            kind(406, "PRECONDITION_FAILED - message size 17000000 is larger than configured max size 16777216");
        assert_eq!(size_limit(&Error::new(kind, message)), Some(16_777_216));
        assert_eq!(size_limit(&Error::new(ErrorKind::Broker, "12")), None);
    }
}
