//! Faults of a broker's own calls, and of what it claims.

use super::super::broken_broker as broken;
use super::super::hooks::{Hooks, each_queue};
use super::{Mutant, mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "creates_missing_queues",
        &["receive::missing_queue_not_found"],
        Hooks { broker: Some(broken::creates_missing_queues), ..Hooks::NONE },
    ),
    mutant(
        "forgets_bindings",
        &["receive::fanout_exchange", "receive::topic_and_direct_keys"],
        Hooks { topology: Some(forgets_the_first_binding), ..Hooks::NONE },
    ),
    mutant(
        "takes_a_topic_for_a_fanout",
        &["receive::topic_and_direct_keys"],
        Hooks {
            topology: Some(|topology| {
                for exchange in &mut topology.exchanges {
                    exchange.kind = swarrot_core::topology::ExchangeKind::Fanout;
                }
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "ignores_the_length_limit",
        &["publish::broker_refusal_is_error"],
        Hooks { topology: Some(|topology| each_queue(topology, |queue| queue.max_length = None)), ..Hooks::NONE },
    ),
    mutant(
        "ignores_the_queues_time_to_live",
        &["time_to_live::expired_skipped"],
        Hooks { topology: Some(|topology| each_queue(topology, |queue| queue.message_ttl = None)), ..Hooks::NONE },
    ),
    mutant(
        "ignores_a_conflict",
        &["control::declare_conflict"],
        Hooks { broker: Some(broken::ignores_a_conflict), ..Hooks::NONE },
    ),
    mutant(
        "dies_of_a_missing_queue",
        &["faults::channel_error_isolated", "receive::missing_queue_not_found"],
        Hooks { broker: Some(broken::dies_of_a_missing_queue), ..Hooks::NONE },
    ),
    mutant(
        "stays_open",
        &["control::closed_broker_refuses", "publish::after_close_errors"],
        Hooks { broker: Some(broken::stays_open), ..Hooks::NONE },
    ),
    mutant(
        "looks_by_taking",
        &["control::peek_takes_nothing"],
        Hooks { broker: Some(broken::looks_by_taking), ..Hooks::NONE },
    ),
    mutant(
        "lists_no_dead_letter_queues",
        &["control::queues_are_listed"],
        Hooks { broker: Some(broken::lists_no_dead_letter_queues), ..Hooks::NONE },
    ),
    mutant(
        "counts_the_unsettled_as_ready",
        &["control::stats_count"],
        Hooks { broker: Some(broken::counts_the_unsettled_as_ready), ..Hooks::NONE },
    ),
    mutant(
        "claims_to_look_and_cannot",
        &["control::peek_takes_nothing"],
        Hooks {
            broker: Some(broken::claims_to_look_and_cannot),
            claims: Some(|claims| claims.browse = true),
            ..Hooks::NONE
        },
    ),
    mutant(
        "claims_another_requeue_position",
        &["order::requeue_position"],
        Hooks {
            claims: Some(|claims| {
                use swarrot_core::RequeuePosition::{Head, Tail};
                claims.requeue_position = if claims.requeue_position == Head { Tail } else { Head };
            }),
            ..Hooks::NONE
        },
    ),
];

fn forgets_the_first_binding(topology: &mut swarrot_core::topology::Topology) {
    if !topology.bindings.is_empty() {
        topology.bindings.remove(0);
    }
}
