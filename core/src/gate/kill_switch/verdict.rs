//! What a handled delivery says about the world around.

use crate::error::BoxError;
use crate::marks::Permanent;
use crate::outcome::Outcome;

/// What a handled delivery says about what its handler depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not work.
    Failure,
    /// Nothing: only about the message itself, if anything.
    Neither,
}

impl Verdict {
    /// The verdict unless you judge yourself.
    ///
    /// | the handler, with its layers, returned | verdict |
    /// |---|---|
    /// | [`Outcome::Ack`] | success |
    /// | an error, or it panicked or took too long | failure |
    /// | [`Outcome::Retry`] with a reason, as layers return it; [`Outcome::Requeue`] | failure |
    /// | an error marked [`Permanent`], such as a body that does not decode; [`Outcome::Reject`] | neither: the message is bad |
    /// | [`Outcome::Retry`] without a reason, [`Outcome::Release`] | neither: it is too early for the message |
    pub fn of(result: &Result<Outcome, BoxError>) -> Self {
        match result {
            Ok(Outcome::Ack) => Self::Success,
            Ok(Outcome::Retry { reason: None, .. } | Outcome::Reject { .. } | Outcome::Release) => Self::Neither,
            Err(error) if Permanent::is(&**error) => Self::Neither,
            Ok(Outcome::Retry { reason: Some(_), .. } | Outcome::Requeue) | Err(_) => Self::Failure,
        }
    }
}
