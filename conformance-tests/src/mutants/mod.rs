//! Deliberately broken backends: each must make the cases fail that are named with it.
//!
//! A suite that a backend with a planted fault passes proves nothing. [`mutant_tests!`](crate::mutant_tests) wraps a good
//! backend in each of these faults and runs the cases that should notice: they must fail with the fault, and pass
//! without it.

mod broken_broker;
mod broken_provider;
mod broken_publisher;
mod broken_settling;
mod catalogue;
mod hooks;
mod limited;
mod wrap;
mod wrapped_harness;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use self::hooks::Hooks;
pub use self::limited::limited;
use self::wrapped_harness::WrappedHarness;
use crate::cases;
use crate::harness::Harness;
use crate::run::{Verdict, run_trial};

/// A fault, and the cases that notice it.
#[derive(Clone, Copy)]
struct Mutant {
    name: &'static str,
    caught_by: &'static [&'static str],
    hooks: Hooks,
    /// What is broken is a backend that claims nothing, not the full one.
    on_limited: bool,
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutant({})", self.name)
    }
}

/// Makes the `main` of a test target (with `harness = false`) that runs every mutant on each of these harnesses.
#[macro_export]
macro_rules! mutant_tests {
    ($($harness:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::mutants::run(&[$(::std::sync::Arc::new($harness) as ::std::sync::Arc<dyn $crate::Harness>),+])
        }
    };
}

/// Runs every mutant on each of these harnesses, as the command line says. [`mutant_tests!`](crate::mutant_tests) calls
/// it.
pub fn run(harnesses: &[Arc<dyn Harness>]) -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Cases fail here by the hundred, and are meant to: what they say is in the verdicts.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let trials = harnesses.iter().flat_map(|harness| {
        catalogue::all().map(|mutant| {
            let harness = Arc::clone(harness);
            let name = format!("{}::mutants::{}", harness.name(), mutant.name);
            Trial::ignorable_test(name, move || check(&harness, &mutant).into_completion())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The fault must be noticed by each case that is named with it and that this harness can run.
fn check(harness: &Arc<dyn Harness>, mutant: &Mutant) -> Verdict {
    let good: Arc<dyn Harness> =
        if mutant.on_limited { Arc::new(WrappedHarness::limited(Arc::clone(harness))) } else { Arc::clone(harness) };
    let broken: Arc<dyn Harness> = Arc::new(WrappedHarness::new(Arc::clone(harness), mutant.hooks));
    let mut ignored = None;
    let mut ran = false;
    for name in mutant.caught_by {
        let Some(case) = cases::all().find(|case| case.to_string() == *name) else {
            return Verdict::Failed(format!("there is no case {name:?}"));
        };
        match run_trial(&good, case) {
            Verdict::Passed => {}
            Verdict::Ignored(reason) => {
                ignored = Some(reason);
                continue;
            }
            Verdict::Failed(message) => {
                return Verdict::Failed(format!("{name} fails without the fault, too: {message}"));
            }
        }
        match run_trial(&broken, case) {
            Verdict::Failed(message) => {
                let first_line = message.lines().next().unwrap_or_default();
                println!("{} is caught by {name}: {}", mutant.name, first_line.chars().take(160).collect::<String>());
            }
            Verdict::Passed => return Verdict::Failed(format!("{name} does not notice it")),
            Verdict::Ignored(reason) => return Verdict::Failed(format!("with the fault {name} is ignored: {reason}")),
        }
        ran = true;
    }
    match ignored {
        Some(reason) if !ran => Verdict::Ignored(reason),
        _ => Verdict::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_names_cases_that_exist() {
        for mutant in catalogue::all() {
            assert!(!mutant.caught_by.is_empty(), "{mutant:?}");
            for name in mutant.caught_by {
                assert!(cases::all().any(|case| case.to_string() == *name), "{mutant:?}: {name}");
            }
        }
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = catalogue::all().map(|mutant| mutant.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
