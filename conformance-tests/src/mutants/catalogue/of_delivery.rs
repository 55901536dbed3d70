//! Faults of receiving, stopping and closing.

use swarrot_core::{Delivery, message::names};

use super::super::broken_provider as broken;
use super::super::hooks::{Hooks, with_message};
use super::{Mutant, mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "loses_what_a_dropped_receive_took",
        &["receive::cancel_loses_nothing"],
        Hooks { provider: Some(broken::loses_what_a_dropped_receive_took), ..Hooks::NONE },
    ),
    mutant(
        "hands_out_twice",
        &["receive::queues_isolated", "concurrency::competing_5000_by_50"],
        Hooks { provider: Some(broken::hands_out_twice), ..Hooks::NONE },
    ),
    mutant(
        "does_not_wait_for_messages",
        &["receive::wait_honoured"],
        Hooks { provider: Some(broken::does_not_wait_for_messages), ..Hooks::NONE },
    ),
    mutant(
        "waits_for_a_full_batch",
        &["batch::receive_batch_max_and_wait"],
        Hooks { provider: Some(broken::waits_for_a_full_batch), ..Hooks::NONE },
    ),
    mutant(
        "polls_every_three_seconds",
        &["receive::waits_for_late_message"],
        Hooks { provider: Some(broken::polls_every_three_seconds), ..Hooks::NONE },
    ),
    mutant(
        "ignores_prefetch",
        &["receive::prefetch_limit", "order::prefetch_1_blocks"],
        Hooks {
            options: Some(|options| options.prefetch(const { std::num::NonZeroU16::new(u16::MAX).expect("not zero") })),
            ..Hooks::NONE
        },
    ),
    mutant(
        "ignores_a_new_prefetch",
        &["control::set_prefetch_live"],
        Hooks { provider: Some(broken::ignores_a_new_prefetch), ..Hooks::NONE },
    ),
    mutant(
        "keeps_the_prefetched_at_stop",
        &["redelivery::stop_keeps_what_was_handed_out", "close_and_shutdown::drain_finishes_current"],
        Hooks { provider: Some(broken::keeps_the_prefetched_at_stop), ..Hooks::NONE },
    ),
    mutant(
        "keeps_the_prefetched_when_paused",
        &["gates::pause_gives_back"],
        // It knows of neither.
        Hooks { provider: Some(broken::keeps_the_prefetched_at_stop), ..Hooks::NONE },
    ),
    mutant(
        "pauses_for_ever",
        &["gates::pause_until_the_next_receive", "gates::switch_probes_and_goes_on"],
        Hooks { provider: Some(broken::pauses_for_ever), ..Hooks::NONE },
    ),
    mutant(
        "keeps_the_unsettled_at_close",
        &["settle::unsettled_comes_back_on_close"],
        Hooks { provider: Some(broken::keeps_the_unsettled_at_close), ..Hooks::NONE },
    ),
    mutant(
        "says_nothing_after_close",
        &["settle::settle_after_close_errors"],
        Hooks { provider: Some(broken::says_nothing_after_close), ..Hooks::NONE },
    ),
    mutant(
        "fails_at_the_second_close",
        &["close_and_shutdown::close_idempotent_concurrent"],
        Hooks { provider: Some(broken::fails_at_the_second_close), ..Hooks::NONE },
    ),
    mutant(
        "leaks_a_task",
        &["close_and_shutdown::no_leaked_tasks"],
        Hooks { provider: Some(broken::leaks_a_task), ..Hooks::NONE },
    ),
    mutant(
        "goes_deaf_when_the_connection_breaks",
        &["reconnect::idle_cut_resumes"],
        Hooks { provider: Some(broken::goes_deaf_when_the_connection_breaks), ..Hooks::NONE },
    ),
    mutant(
        "gives_up_when_the_connection_breaks",
        &["reconnect::idle_cut_resumes", "reconnect::cut_while_handling"],
        Hooks { provider: Some(broken::gives_up_when_the_connection_breaks), ..Hooks::NONE },
    ),
    mutant(
        "drops_foreign_messages",
        &["headers_and_body::foreign_message"],
        Hooks { provider: Some(broken::drops_foreign_messages), ..Hooks::NONE },
    ),
    mutant(
        "does_not_extend_leases",
        &["redelivery::extend_keeps_lease"],
        Hooks { provider: Some(broken::does_not_extend_leases), ..Hooks::NONE },
    ),
    mutant(
        "turns_batches_round",
        &["order::fifo_1000"],
        Hooks { deliveries: Some(|some| some.into_iter().rev().collect()), ..Hooks::NONE },
    ),
    mutant(
        "loses_the_last_of_what_it_took",
        &["order::fifo_1000"],
        Hooks { deliveries: Some(all_but_the_third), ..Hooks::NONE },
    ),
    mutant(
        "forgets_that_it_is_a_redelivery",
        &["redelivery::redelivered_flag_set"],
        Hooks {
            deliveries: Some(|some| {
                each(some, |d| {
                    let n = d.delivery_count();
                    d.delivered(false, n)
                })
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "marks_all_as_redelivered",
        &["receive::metadata"],
        Hooks {
            deliveries: Some(|some| {
                each(some, |d| {
                    let n = d.delivery_count();
                    d.delivered(true, n)
                })
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "counts_each_delivery_as_the_first",
        &["redelivery::count_1_2_3"],
        Hooks {
            deliveries: Some(|some| {
                each(some, |d| {
                    let r = d.redelivered();
                    d.delivered(r, Some(1))
                })
            }),
            ..Hooks::NONE
        },
    ),
    mutant(
        "forgets_where_a_retried_message_came_from",
        &["delay::returns_to_one_queue_only", "receive::metadata"],
        Hooks { deliveries: Some(|some| each(some, without_origin)), ..Hooks::NONE },
    ),
    mutant(
        "reads_the_body_as_text",
        &["headers_and_body::random_bytes", "headers_and_body::foreign_message"],
        Hooks { deliveries: Some(|some| each(some, body_as_text)), ..Hooks::NONE },
    ),
];

fn each(deliveries: Vec<Delivery>, change: impl Fn(Delivery) -> Delivery) -> Vec<Delivery> {
    deliveries.into_iter().map(change).collect()
}

/// What it leaves out stays unsettled, and nobody has it.
fn all_but_the_third(mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
    if deliveries.len() >= 3 {
        deliveries.truncate(deliveries.len() - 1);
    }
    deliveries
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a hook")]
fn without_origin(delivery: Delivery) -> Delivery {
    let mut message = delivery.message().clone();
    message.headers.remove(names::EXCHANGE);
    message.headers.remove(names::ROUTING_KEY);
    Delivery::new(delivery.queue(), delivery.receipt(), message)
        .delivered(delivery.redelivered(), delivery.delivery_count())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a hook")]
fn body_as_text(delivery: Delivery) -> Delivery {
    let mut message = delivery.message().clone();
    message.body = String::from_utf8_lossy(&message.body).into_owned().into();
    with_message(&delivery, message)
}
