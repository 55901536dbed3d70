//! From the result of a batch handler to an outcome for each of its messages.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, Error, ErrorKind};
use crate::handler::{HandlerError, IntoOutcome};
use crate::layer::Panicked;
use crate::outcome::Outcome;

/// What a [batch handler](crate::Batch) may return: one for all, a `Vec` with one for each in the order of the messages,
/// or a `Result` of these, whose error is the error of all.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a batch handler",
    note = "a batch handler returns `()` or an `Outcome` for all, a `Vec` of results with one for each message, or a `Result` of one of these with an error that converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoOutcomes {
    /// One result for each of so many messages.
    ///
    /// # Errors
    /// The error of all.
    fn into_outcomes(self, messages: usize) -> Result<Vec<Result<Outcome, BoxError>>, BoxError>;
}

impl IntoOutcomes for () {
    fn into_outcomes(self, messages: usize) -> Result<Vec<Result<Outcome, BoxError>>, BoxError> {
        Outcome::Ack.into_outcomes(messages)
    }
}

impl IntoOutcomes for Outcome {
    fn into_outcomes(self, messages: usize) -> Result<Vec<Result<Outcome, BoxError>>, BoxError> {
        Ok((0..messages).map(|_| Ok(self.clone())).collect())
    }
}

impl<R: IntoOutcome> IntoOutcomes for Vec<R> {
    fn into_outcomes(self, messages: usize) -> Result<Vec<Result<Outcome, BoxError>>, BoxError> {
        if self.len() != messages {
            let what = format!("{} results for {messages} messages; return one for each, or one for all", self.len());
            return Err(Error::new(ErrorKind::InvalidInput, what).into());
        }
        Ok(self.into_iter().map(R::into_outcome).collect())
    }
}

impl<T: IntoOutcomes, E: HandlerError> IntoOutcomes for Result<T, E> {
    fn into_outcomes(self, messages: usize) -> Result<Vec<Result<Outcome, BoxError>>, BoxError> {
        self.map_err(HandlerError::into_box)?.into_outcomes(messages)
    }
}

/// One result for each of so many messages, from what a batch handler came to.
pub(super) fn for_each<R>(result: Result<R, Panicked>, messages: usize) -> Vec<Result<Outcome, BoxError>>
where
    R: IntoOutcomes,
{
    let all_failed = |error: BoxError| {
        let failed = BatchFailed { messages, source: error.into() };
        (0..messages).map(|_| Err(failed.clone().into())).collect()
    };
    match result {
        Ok(result) => result.into_outcomes(messages).unwrap_or_else(all_failed),
        Err(panicked) => (0..messages).map(|_| Err(panicked.clone().into())).collect(),
    }
}

/// A batch handler failed: the error of each message of its batch. The handler's own error is its source.
#[derive(Clone, Debug)]
pub struct BatchFailed {
    messages: usize,
    source: Arc<dyn StdError + Send + Sync>,
}

impl BatchFailed {
    /// How many messages the batch had.
    pub fn messages(&self) -> usize {
        self.messages
    }
}

impl fmt::Display for BatchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the batch of {} failed", self.messages)
    }
}

impl StdError for BatchFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Permanent;
    use crate::outcome::Reason;

    #[test]
    fn one_for_all_or_one_for_each() {
        assert_eq!(
            for_each(Ok(()), 2).into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            [Outcome::Ack, Outcome::Ack]
        );
        let each = for_each(Ok(vec![Ok(()), Err("full")]), 2);
        assert_eq!(each[0].as_ref().unwrap(), &Outcome::Ack);
        assert_eq!(each[1].as_ref().unwrap_err().to_string(), "full");
    }

    #[test]
    fn a_result_too_few_fails_all() {
        let all = for_each(Ok(vec![Outcome::Ack]), 2);
        let texts: Vec<_> = all.iter().map(|r| Reason::from_error(&**r.as_ref().unwrap_err()).to_string()).collect();
        let expected = "the batch of 2 failed: 1 results for 2 messages; return one for each, or one for all";
        assert_eq!(texts, [expected; 2]);
    }

    #[test]
    fn a_permanent_error_is_permanent_for_each() {
        for result in for_each(Ok(Err::<(), _>(Permanent::new("no such table"))), 3) {
            let error = result.unwrap_err();
            assert!(Permanent::is(&*error));
            assert_eq!(Reason::from_error(&*error).as_str(), "the batch of 3 failed: no such table");
            assert_eq!(error.downcast_ref::<BatchFailed>().unwrap().messages(), 3);
        }
    }
}
