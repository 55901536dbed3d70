//! How the handling of a delivery ended, in the words of spans, metrics and logs.

use std::error::Error as StdError;

use super::{Panicked, TimedOut};
use crate::error::{BoxError, Error};
use crate::marks::{Permanent, chain};
use crate::outcome::Outcome;

/// How the handling of a delivery ended: each word is one of a few, so that it may be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// What became of it.
    pub(super) outcome: &'static str,
    /// The class of the failure, OpenTelemetry's `error.type`; `None` if it did not fail.
    pub(super) error: Option<&'static str>,
}

impl Ending {
    /// How a handler that returned this has ended. A retry, a requeue and a rejection are failures; a release is not.
    pub(super) fn of(result: &Result<Outcome, BoxError>) -> Self {
        let failed = |outcome| Self { outcome, error: Some(outcome) };
        match result {
            Ok(Outcome::Ack) => Self { outcome: "ack", error: None },
            Ok(Outcome::Release) => Self { outcome: "release", error: None },
            Ok(Outcome::Retry { .. }) => failed("retry"),
            Ok(Outcome::Requeue) => failed("requeue"),
            Ok(Outcome::Reject { .. }) => failed("reject"),
            Err(error) => Self { outcome: "error", error: Some(class(&**error)) },
        }
    }

    /// How it has ended if the handler's future is dropped now: by a panic on its way through, or cancelled.
    pub(super) fn unfinished() -> Self {
        if std::thread::panicking() {
            Self { outcome: "error", error: Some("panic") }
        } else {
            Self { outcome: "cancelled", error: Some("cancelled") }
        }
    }
}

/// The class of an error: the first in the chain of its sources that has one.
fn class(error: &(dyn StdError + 'static)) -> &'static str {
    let known = |error: &(dyn StdError + 'static)| {
        if error.is::<Panicked>() {
            Some("panic")
        } else if error.is::<TimedOut>() {
            Some("timeout")
        } else {
            error.downcast_ref::<Error>().map(|error| error.kind().as_str())
        }
    };
    let unknown = || if Permanent::is(error) { "permanent" } else { OTHER };
    chain(error).find_map(known).unwrap_or_else(unknown)
}

/// What the conventions call an error of no class of its own.
const OTHER: &str = "_OTHER";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    fn of(error: impl Into<BoxError>) -> (&'static str, Option<&'static str>) {
        let ending = Ending::of(&Err(error.into()));
        (ending.outcome, ending.error)
    }

    #[derive(Debug, thiserror::Error)]
    #[error("sending failed")]
    struct Sending(#[source] Error);

    #[test]
    fn errors_have_a_class() {
        assert_eq!(of("any"), ("error", Some("_OTHER")));
        assert_eq!(of(Panicked::of(&"boom")), ("error", Some("panic")));
        assert_eq!(of(Permanent::new("no address")), ("error", Some("permanent")));
        let decode = Error::new(ErrorKind::Decode, "no JSON");
        assert_eq!(of(decode.clone()), ("error", Some("decode")));
        assert_eq!(of(Permanent::new(decode.clone())), ("error", Some("decode")));
        let outer = Error::new(ErrorKind::Broker, "outer").with_source(decode);
        assert_eq!(of(outer), ("error", Some("broker")));
        assert_eq!(of(Sending(Error::new(ErrorKind::Blocked, "an alarm"))), ("error", Some("blocked")));
    }

    #[test]
    fn what_is_not_done_has_failed() {
        let error = |outcome: Outcome| Ending::of(&Ok(outcome)).error;
        assert_eq!(error(Outcome::Ack), None);
        assert_eq!(error(Outcome::Release), None);
        assert_eq!(error(Outcome::Requeue), Some("requeue"));
        assert_eq!(error(Outcome::reject("no")), Some("reject"));
        assert_eq!(error(Outcome::retry(Duration::ZERO)), Some("retry"));
        assert_eq!(Ending::unfinished().outcome, "cancelled");
    }
}
