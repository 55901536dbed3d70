//! Counts that several loops add to.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Counts;
use crate::outcome::Outcome;

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The fields of [`Counts`], to be added to from several tasks.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> Counts {
                Counts { $($name: self.$name.get()),* }
            }
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters!(
    handled,
    acked,
    retried,
    requeued,
    rejected,
    released,
    errors,
    panics,
    cancelled,
    lost,
    settle_failures,
    broker_errors,
    recoveries,
);

impl Counters {
    /// Counts a delivery that was settled.
    pub(super) fn settled(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Ack => &self.acked,
            Outcome::Retry { .. } => &self.retried,
            Outcome::Requeue => &self.requeued,
            Outcome::Reject { .. } => &self.rejected,
            Outcome::Release => &self.released,
        }
        .add(1);
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    count: AtomicU64,
    /// The same for the metrics' recorder, once the worker runs.
    #[cfg(feature = "metrics")]
    pub(super) metric: std::sync::OnceLock<metrics::Counter>,
}

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.count.fetch_add(n, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(metric) = self.metric.get() {
            metric.increment(n);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
