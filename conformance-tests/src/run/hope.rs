//! Gives up when a broker is gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Verdict;

/// When so many cases fail one after the other, each that is left would take its whole time to say the same.
const HOPELESS: usize = 20;

/// How the cases of one harness have gone so far.
#[derive(Default)]
pub(super) struct Hope {
    failures_in_a_row: AtomicUsize,
}

impl Hope {
    /// Runs a case, unless there is no hope left: it fails then, and says that it did not run.
    pub(super) fn run(&self, case: impl FnOnce() -> Verdict) -> Verdict {
        if self.failures_in_a_row.load(Ordering::Relaxed) >= HOPELESS {
            return Verdict::Failed(format!(
                "not run: {HOPELESS} cases failed one after the other; mend what the first of them says"
            ));
        }
        let verdict = case();
        match &verdict {
            Verdict::Passed => self.failures_in_a_row.store(0, Ordering::Relaxed),
            Verdict::Failed(_) => drop(self.failures_in_a_row.fetch_add(1, Ordering::Relaxed)),
            Verdict::Ignored(_) => {}
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hope_ends_with_enough_failures_in_a_row() {
        let hope = Hope::default();
        let fails = || hope.run(|| Verdict::Failed("no".to_owned()));
        (1..HOPELESS).for_each(|_| drop(fails()));
        assert_eq!(hope.run(|| Verdict::Passed), Verdict::Passed);
        fails();
        assert_eq!(hope.run(|| Verdict::Ignored("not here".to_owned())), Verdict::Ignored("not here".to_owned()));
        (1..HOPELESS).for_each(|_| assert_eq!(fails(), Verdict::Failed("no".to_owned()), "one passed in between"));
        let verdict = hope.run(|| panic!("it runs"));
        assert!(matches!(&verdict, Verdict::Failed(said) if said.starts_with("not run")), "{verdict:?}");
    }
}
