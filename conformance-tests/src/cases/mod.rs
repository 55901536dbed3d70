//! The cases, by what they are about. Each file has its cases in the order in which they are listed.

mod publish;
mod receive;
mod settle;

use crate::run::Case;

/// All cases, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [publish::CASES, receive::CASES, settle::CASES].into_iter().flatten()
}
