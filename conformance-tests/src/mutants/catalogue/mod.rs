//! All mutants, each with what notices it.

mod of_broker;
mod of_delivery;
mod of_publisher;
mod of_refusals;
mod of_settling;

use super::Mutant;
use super::hooks::Hooks;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Mutant> {
    [of_publisher::MUTANTS, of_delivery::MUTANTS, of_settling::MUTANTS, of_broker::MUTANTS, of_refusals::MUTANTS]
        .into_iter()
        .flatten()
        .copied()
}

const fn mutant(name: &'static str, caught_by: &'static [&'static str], hooks: Hooks) -> Mutant {
    Mutant { name, caught_by, hooks, on_limited: false }
}
