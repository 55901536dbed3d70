//! Receipts and outcomes on their way back to the broker.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;
use crate::receipt::Receipt;

/// What becomes of one delivery: its receipt and the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which delivery.
    pub receipt: Receipt,
    /// What becomes of it.
    pub outcome: Outcome,
}

impl Settlement {
    /// This outcome for the delivery with this receipt.
    pub fn new(receipt: Receipt, outcome: Outcome) -> Self {
        Self { receipt, outcome }
    }
}

/// Which receipts of a call failed, and why; all others of the call are done.
///
/// A failure of the kind [`Stale`](ErrorKind::Stale) is final: the provider no longer holds that delivery, and nothing
/// was sent. After any other failure the provider still holds it, and the call may be repeated for it.
#[derive(Clone, Debug)]
pub struct SettleError(Vec<(Receipt, Error)>);

impl SettleError {
    /// `Ok` if nothing failed.
    ///
    /// # Errors
    /// The failures, if there are any.
    pub fn check(failures: Vec<(Receipt, Error)>) -> Result<(), Self> {
        if failures.is_empty() { Ok(()) } else { Err(Self(failures)) }
    }

    /// The same failure for each of these receipts.
    pub fn all(receipts: impl IntoIterator<Item = Receipt>, error: &Error) -> Self {
        Self(receipts.into_iter().map(|receipt| (receipt, error.clone())).collect())
    }

    /// Each receipt that failed, with its error.
    pub fn failures(&self) -> &[(Receipt, Error)] {
        &self.0
    }

    /// Each receipt that failed, with its error.
    pub fn into_failures(self) -> Vec<(Receipt, Error)> {
        self.0
    }

    /// Whether every failure is of this kind.
    pub fn is_all(&self, kind: ErrorKind) -> bool {
        self.0.iter().all(|(_, error)| error.kind() == kind)
    }
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [(_, only)] => only.fmt(f),
            [(_, first), ..] => write!(f, "{} deliveries; the first: {first}", self.0.len()),
            [] => f.write_str("no delivery"),
        }
    }
}

impl std::error::Error for SettleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.first().and_then(|(_, error)| error.source())
    }
}
