//! The cases, by what they are about. Each file has its cases in the order in which they are listed.

mod batch;
mod close;
mod concurrency;
mod control;
mod dead_letter;
mod delay;
mod faults;
mod gates;
mod headers;
mod layers;
mod order;
mod priority;
mod publish;
mod receive;
mod reconnect;
mod redelivery;
mod request;
mod settle;
mod stress;
mod ttl;
mod unclaimed;

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
        layers::CASES,
        batch::CASES,
        close::CASES,
        reconnect::CASES,
        faults::CASES,
        unclaimed::CASES,
        control::CASES,
        gates::CASES,
        request::CASES,
        stress::CASES,
    ]
    .into_iter()
    .flatten()
}
