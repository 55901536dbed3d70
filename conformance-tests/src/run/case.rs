//! One case: its name, what it needs, and how it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Context, Need};
use crate::harness::Harness;

/// One case of the suite.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub(crate) struct Case {
    group: &'static str,
    name: &'static str,
    needs: &'static [Need],
    limit: Duration,
    breaks_the_broker: bool,
    may_duplicate: bool,
    repeated: bool,
    manual: bool,
    alone: bool,
    run: Run,
}

/// How a case runs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// In a runtime of its own, with a namespace.
    Async(for<'a> fn(&'a Context) -> BoxFuture<'a, ()>),
    /// On a plain thread, with the harness alone.
    Blocking(fn(&Arc<dyn Harness>)),
}

impl Case {
    /// A case with the usual limits: one minute of real time, no faults, no duplicates.
    pub(crate) const fn new(group: &'static str, name: &'static str, run: Run) -> Self {
        Self {
            group,
            name,
            needs: &[],
            limit: Duration::from_secs(60),
            breaks_the_broker: false,
            may_duplicate: false,
            repeated: true,
            manual: false,
            alone: false,
            run,
        }
    }

    /// Is shown as ignored where one of these is missing.
    pub(crate) const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Fails after this many seconds of real time.
    pub(crate) const fn limit(self, seconds: u64) -> Self {
        Self { limit: Duration::from_secs(seconds), ..self }
    }

    /// Works on the broker that may be broken, one such case after another.
    pub(crate) const fn faulty(self) -> Self {
        Self { breaks_the_broker: true, repeated: false, ..self }
    }

    /// A message may arrive more than once.
    pub(crate) const fn dup(self) -> Self {
        Self { may_duplicate: true, ..self }
    }

    /// Too long to be repeated under stress.
    pub(crate) const fn long(self) -> Self {
        Self { repeated: false, ..self }
    }

    /// Runs only when asked for, with `--ignored`.
    pub(crate) const fn manual(self) -> Self {
        Self { manual: true, repeated: false, ..self }
    }

    /// Takes all that the machine has: nothing else runs beside it.
    pub(crate) const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Its name without the group.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How it runs.
    pub(crate) fn how(&self) -> Run {
        self.run
    }

    /// After how much real time it fails.
    pub(crate) fn time_limit(&self) -> Duration {
        self.limit
    }

    /// Whether a message may arrive more than once.
    pub(crate) fn may_duplicate(&self) -> bool {
        self.may_duplicate
    }

    /// Whether it works on the broker that may be broken.
    pub(crate) fn breaks_the_broker(&self) -> bool {
        self.breaks_the_broker
    }

    /// Whether it is short and harmless enough to be run many times at once.
    pub(crate) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Whether nothing may run beside it.
    pub(crate) fn runs_alone(&self) -> bool {
        self.alone
    }

    /// Whether it runs only when asked for.
    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    /// Why it cannot run on this harness, if so.
    pub(crate) fn missing(&self, harness: &dyn Harness) -> Option<String> {
        self.needs.iter().find_map(|need| need.missing(harness))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.group, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({self})")
    }
}

/// A case from an async function of the file: its name is the function's.
macro_rules! case {
    ($name:ident) => {
        $crate::run::Case::new(GROUP, stringify!($name), $crate::run::Run::Async(|cx| Box::pin($name(cx))))
    };
}
pub(crate) use case;
