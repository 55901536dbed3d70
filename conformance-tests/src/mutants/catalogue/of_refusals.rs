//! Backends that lack a capability, and do not say so.

use super::super::hooks::Hooks;
use super::super::limited::Refusals;
use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[
    silent("drops_priorities_silently", &["unclaimed::priority_refused"], Refusals { priority: false, ..ALL }),
    silent("drops_times_to_live_silently", &["unclaimed::ttl_refused"], Refusals { ttl: false, ..ALL }),
    silent(
        "drops_length_limits_silently",
        &["unclaimed::length_limit_refused"],
        Refusals { length_limit: false, ..ALL },
    ),
    silent("drops_delays_silently", &["unclaimed::delay_refused"], Refusals { delay: false, ..ALL }),
    silent("drops_dead_letters_silently", &["unclaimed::dead_letter_refused"], Refusals { dead_letter: false, ..ALL }),
    silent("shows_messages_unclaimed", &["unclaimed::browse_refused"], Refusals { browse: false, ..ALL }),
    silent("lists_queues_unclaimed", &["unclaimed::list_refused"], Refusals { list: false, ..ALL }),
    silent(
        "counts_deliveries_unclaimed",
        &["unclaimed::delivery_count_absent"],
        Refusals { delivery_count: false, ..ALL },
    ),
    silent("finds_unroutable_unclaimed", &["unclaimed::unroutable_is_no_error"], Refusals { unroutable: false, ..ALL }),
];

const ALL: Refusals = Refusals::ALL;

/// A backend that claims nothing, and fails to refuse one thing.
const fn silent(name: &'static str, caught_by: &'static [&'static str], refuses: Refusals) -> Mutant {
    Mutant { name, caught_by, hooks: Hooks { limited: Some(refuses), ..Hooks::NONE }, on_limited: true }
}
