//! What an error may say about trying again: never, or not before a while.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::error::BoxError;

/// Marks an error as permanent: a retry would fail again, so the message is parked at once.
///
/// ```
/// use swarrot_core::{BoxError, Permanent};
///
/// fn check(address: &str) -> Result<(), BoxError> {
///     if address.contains('@') { Ok(()) } else { Err(Permanent::new("not a mail address").into()) }
/// }
/// assert!(Permanent::is(&*check("nobody").unwrap_err()));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Permanent(BoxError);

impl Permanent {
    /// Marks this error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Whether an error is marked, itself or one of its sources.
    pub fn is(error: &(dyn StdError + 'static)) -> bool {
        chain(error).any(<dyn StdError>::is::<Self>)
    }
}

/// Marks an error as one to try again after a time that is known, such as the `Retry-After` of an HTTP server.
///
/// The layer [`Retry`](crate::layer::Retry) takes this delay in place of its own, without jitter. It counts as an attempt
/// like any other: once they are used up, the error goes through. Without such a layer the mark has no effect.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::{BoxError, RetryAfter};
///
/// async fn call() -> Result<(), BoxError> {
///     Err(RetryAfter::new("429 too many requests", Duration::from_secs(90)).into())
/// }
/// ```
#[derive(Debug)]
pub struct RetryAfter {
    error: BoxError,
    after: Duration,
}

impl RetryAfter {
    /// Marks this error: no sooner than `after` from now.
    pub fn new(error: impl Into<BoxError>, after: Duration) -> Self {
        Self { error: error.into(), after }
    }

    /// The delay that an error asks for, itself or one of its sources; the outermost counts.
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Duration> {
        chain(error).find_map(|error| error.downcast_ref::<Self>()).map(|marked| marked.after)
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for RetryAfter {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// An error and its sources, what is marked by one of the types above included.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    // Some chains have no end.
    std::iter::successors(Some(error), |error| within(*error)).take(64)
}

fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    // A transparent error answers with the source of what it holds.
    let marked = error.downcast_ref::<Permanent>().map(|marked| &marked.0);
    match marked.or_else(|| error.downcast_ref::<RetryAfter>().map(|marked| &marked.error)) {
        Some(inner) => Some(&**inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;

    #[derive(Debug, thiserror::Error)]
    #[error("calling the shop failed")]
    struct Calling(#[source] BoxError);

    const LATER: Duration = Duration::from_secs(90);

    #[test]
    fn a_mark_is_found_through_the_sources() {
        let error = Calling(RetryAfter::new("429", LATER).into());
        assert_eq!(RetryAfter::of(&error), Some(LATER));
        assert_eq!(RetryAfter::of(&Calling("429".into())), None);
        assert!(Permanent::is(&Calling(Permanent::new("410").into())));
        let outermost = RetryAfter::new(error, LATER * 2);
        assert_eq!(RetryAfter::of(&outermost), Some(LATER * 2));
    }

    #[test]
    fn what_is_marked_is_found_itself() {
        let marked = RetryAfter::new(Permanent::new(Calling("410".into())), LATER);
        assert!(Permanent::is(&marked));
        assert!(chain(&marked).any(<dyn StdError>::is::<Calling>));
        assert_eq!(Reason::from_error(&marked).as_str(), "calling the shop failed: 410");
    }
}
