//! The worker's figures, for the metrics' recorder.

use std::time::Duration;

use metrics::{Histogram, SharedString, counter, histogram};

use super::shared::Shared;
use crate::contract::MessageProvider;
use crate::layer::metrics::{Described, label, worker};
use crate::settlement::SettleError;

/// Has a worker's counts go to the recorder too, from now on.
pub(super) fn connect(shared: &Shared) {
    Described::worker();
    let (counters, labels) = (&shared.counters, Labels::of(&*shared.provider));
    let settled = |outcome: &'static str| counter!(worker::SETTLED, &labels.with(label::OUTCOME, outcome));
    let plain = |name: &'static str| counter!(name, &labels.all());
    let connected = [
        (&counters.acked, settled("ack")),
        (&counters.retried, settled("retry")),
        (&counters.requeued, settled("requeue")),
        (&counters.rejected, settled("reject")),
        (&counters.released, settled("release")),
        (&counters.errors, plain(worker::ERRORS)),
        (&counters.panics, plain(worker::PANICS)),
        (&counters.cancelled, plain(worker::CANCELLED)),
        (&counters.lost, plain(worker::LOST)),
        (&counters.settle_failures, plain(worker::SETTLE_FAILURES)),
        (&counters.broker_errors, plain(worker::BROKER_ERRORS)),
        (&counters.recoveries, plain(worker::RECOVERIES)),
    ];
    for (counter, metric) in connected {
        // So that a figure is there, with zero, before it counts for the first time.
        metric.increment(0);
        // A worker runs once, so that none is set yet.
        let _ = counter.metric.set(metric);
    }
    let _ = shared.settle_times.set(SettleTimes::new(&*shared.provider));
}

/// How long settling takes.
pub(super) struct SettleTimes {
    labels: Labels,
    fine: Histogram,
}

impl SettleTimes {
    fn new(provider: &dyn MessageProvider) -> Self {
        let labels = Labels::of(provider);
        Self { fine: histogram!(worker::OPERATION, &labels.settle()), labels }
    }

    /// Notes a call that took this long; acks are written then, copies confirmed.
    pub(super) fn took(&self, time: Duration, result: &Result<(), SettleError>) {
        let class = result.as_ref().err().and_then(|error| error.failures().first()).map(|(_, e)| e.kind().as_str());
        let failed = |class: &'static str| {
            let mut labels = self.labels.settle();
            labels.push((label::ERROR, class.into()));
            histogram!(worker::OPERATION, &labels)
        };
        class.map_or_else(|| self.fine.clone(), failed).record(time.as_secs_f64());
    }
}

/// The labels of a worker's figures.
struct Labels {
    system: &'static str,
    queue: SharedString,
}

type Pairs = Vec<(&'static str, SharedString)>;

impl Labels {
    fn of(provider: &dyn MessageProvider) -> Self {
        Self { system: provider.capabilities().system, queue: SharedString::from_shared(provider.queue().into()) }
    }

    fn all(&self) -> Pairs {
        vec![(label::SYSTEM, self.system.into()), (label::DESTINATION, self.queue.clone())]
    }

    fn with(&self, name: &'static str, value: &'static str) -> Pairs {
        let mut labels = self.all();
        labels.push((name, value.into()));
        labels
    }

    fn settle(&self) -> Pairs {
        let mut labels = self.with(label::OPERATION, "settle");
        labels.push((label::OPERATION_TYPE, "settle".into()));
        labels
    }
}
