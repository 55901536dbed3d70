//! The cases, by what they are about. Each file has its cases in the order in which they are listed.

mod publish;
mod receive;
mod settle;

mod redelivery;

mod order;

mod concurrency;

mod delay;

mod priority;

mod ttl;

mod dead_letter;

mod headers;

mod batch;

mod close;

use crate::run::Case;

/// All cases, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [
        publish::CASES,
        receive::CASES,
        settle::CASES,
        redelivery::CASES,
        order::CASES,
        concurrency::CASES,
        delay::CASES,
        priority::CASES,
        ttl::CASES,
        dead_letter::CASES,
        headers::CASES,
        batch::CASES,
        close::CASES,
    ]
    .into_iter()
    .flatten()
}
