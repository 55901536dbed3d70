//! From the result of a handler to an outcome.

use super::HandlerError;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// What a handler may return: `()` acks, an [`Outcome`] is itself, and a `Result` of one of them may be an error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a handler",
    note = "a handler returns `()`, an `Outcome`, or a `Result` of one of them with an error that converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoOutcome {
    /// Turns it into an outcome.
    ///
    /// # Errors
    /// The handler's own error.
    fn into_outcome(self) -> Result<Outcome, BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: HandlerError> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        self.map_err(HandlerError::into_box)?.into_outcome()
    }
}
