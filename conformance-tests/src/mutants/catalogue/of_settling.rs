//! Faults of settling.

use std::time::Duration;

use swarrot_core::Outcome;

use super::super::broken_settling as broken;
use super::super::hooks::Hooks;
use super::{Mutant, mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "acks_before_the_copy_is_confirmed",
        &["dead_letter::park_failure_keeps_original"],
        Hooks { provider: Some(broken::acks_before_the_copy_is_confirmed), ..Hooks::NONE },
    ),
    mutant(
        "retries_without_counting",
        &["redelivery::attempt_survives_delayed_retry", "dead_letter::exact_attempts"],
        Hooks { provider: Some(broken::retries_without_counting), ..Hooks::NONE },
    ),
    mutant(
        "retries_through_the_exchange",
        &["delay::returns_to_one_queue_only"],
        Hooks { provider: Some(broken::retries_through_the_exchange), ..Hooks::NONE },
    ),
    mutant(
        "retries_at_once",
        &["delay::not_before"],
        Hooks {
            outcome: Some(|outcome| match outcome {
                Outcome::Retry { reason, .. } => Some(Outcome::Retry { after: Duration::ZERO, reason }),
                other => Some(other),
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "requeues_at_the_wrong_end",
        &["order::requeue_position"],
        Hooks { provider: Some(broken::requeues_at_the_wrong_end), ..Hooks::NONE },
    ),
    mutant(
        "loses_what_is_requeued",
        &["redelivery::requeue_comes_back", "redelivery::requeue_10_percent"],
        Hooks {
            outcome: Some(|outcome| Some(if outcome == Outcome::Requeue { Outcome::Ack } else { outcome })),
            ..Hooks::NONE
        },
    ),
    mutant(
        "counts_a_release_as_an_attempt",
        &["redelivery::release_is_not_an_attempt", "close_and_shutdown::deadline_aborts"],
        Hooks {
            outcome: Some(|outcome| {
                Some(if outcome == Outcome::Release { Outcome::retry(Duration::ZERO) } else { outcome })
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "drops_what_is_rejected",
        &["settle::reject_parks", "dead_letter::redrive"],
        Hooks {
            outcome: Some(|outcome| match outcome {
                Outcome::Reject { .. } => Some(Outcome::Ack),
                other => Some(other),
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "requeues_what_is_rejected",
        &["settle::reject_parks"],
        Hooks {
            outcome: Some(|outcome| match outcome {
                Outcome::Reject { .. } => Some(Outcome::Requeue),
                other => Some(other),
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "forgets_the_reason",
        &["settle::reject_parks", "dead_letter::carries_reason"],
        Hooks {
            outcome: Some(|outcome| match outcome {
                Outcome::Reject { .. } => Some(Outcome::reject("")),
                other => Some(other),
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "parks_without_a_word",
        &["settle::reject_parks", "dead_letter::redrive"],
        Hooks { provider: Some(broken::parks_without_a_word), ..Hooks::NONE },
    ),
    mutant(
        "does_not_send_acks",
        &["settle::ack_is_final", "settle::ack_out_of_order"],
        Hooks { outcome: Some(|outcome| Some(outcome).filter(|outcome| *outcome != Outcome::Ack)), ..Hooks::NONE },
    ),
    mutant(
        "acks_everything_before",
        &["settle::ack_out_of_order", "batch::partial_settle"],
        Hooks { provider: Some(broken::acks_everything_before), ..Hooks::NONE },
    ),
    mutant(
        "settles_stale_receipts",
        &[
            "settle::double_ack",
            "settle::stale_settle_after_reconnect",
            "batch::partial_settle",
            "redelivery::lease_expiry",
        ],
        Hooks { provider: Some(broken::settles_stale_receipts), ..Hooks::NONE },
    ),
    mutant(
        "fails_all_for_one",
        &["batch::partial_settle"],
        Hooks { provider: Some(broken::fails_all_for_one), ..Hooks::NONE },
    ),
    mutant(
        "stops_at_the_first_that_fails",
        &["batch::partial_settle"],
        Hooks { provider: Some(broken::stops_at_the_first_that_fails), ..Hooks::NONE },
    ),
];
