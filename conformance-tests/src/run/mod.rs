//! From cases and harnesses to named trials.

mod case;
mod context;
mod hope;
mod needs;
mod runner;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use libtest_mimic::{Arguments, Trial};

pub(crate) use self::case::{Case, Run, case};
pub(crate) use self::context::{Context, Setup};
use self::hope::Hope;
pub(crate) use self::needs::{Claim, Fault, Need};
pub(crate) use self::runner::{Verdict, run_case, run_trial};
use crate::cases;
use crate::harness::Harness;

/// Runs every case on each of these harnesses, as the command line says. [`conformance_tests!`](crate::conformance_tests)
/// calls it.
///
/// Cases wait for brokers most of the time: unless the command line says otherwise, twice as many run at once as there are
/// cores.
pub fn run(harnesses: &[Arc<dyn Harness>]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    arguments.test_threads.get_or_insert(2 * cores);
    let trials = harnesses.iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One trial for each case on this harness.
fn trials(harness: &Arc<dyn Harness>) -> impl Iterator<Item = Trial> + use<> {
    let harness = Arc::clone(harness);
    let hope = Arc::new(Hope::default());
    cases::all().map(move |case| {
        let name = format!("{}::{case}", harness.name());
        let (harness, hope) = (Arc::clone(&harness), Arc::clone(&hope));
        Trial::ignorable_test(name, move || hope.run(|| run_trial(&harness, case)).into_completion())
            .with_ignored_flag(case.is_manual())
    })
}
