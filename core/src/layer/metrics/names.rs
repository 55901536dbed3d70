//! The figures and their labels, by name and unit.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Deliveries handed to a handler.
pub(super) const CONSUMED: &str = "messaging.client.consumed.messages";
/// How long a handler took.
pub(super) const PROCESS: &str = "messaging.process.duration";
/// Messages published, or not.
pub(super) const SENT: &str = "messaging.client.sent.messages";
/// How long a publish or a settle took.
pub(crate) const OPERATION: &str = "messaging.client.operation.duration";
/// Handlers that run.
pub(super) const IN_FLIGHT: &str = "swarrot.process.in_flight";

/// The labels.
pub(crate) mod label {
    pub(crate) const SYSTEM: &str = "messaging.system";
    pub(crate) const DESTINATION: &str = "messaging.destination.name";
    pub(crate) const OPERATION: &str = "messaging.operation.name";
    pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
    pub(crate) const ERROR: &str = "error.type";
    pub(crate) const OUTCOME: &str = "swarrot.outcome";
}

/// The figures of the worker itself.
pub(crate) mod worker {
    pub(crate) use super::OPERATION;
    /// Deliveries settled, by outcome.
    pub(crate) const SETTLED: &str = "swarrot.worker.settled";
    /// Each with its description, in the order of the worker's counts.
    pub(crate) const COUNTS: [(&str, &str); 7] = [
        (ERRORS, "Handlers that returned an error which no layer turned into an outcome, panics included."),
        (PANICS, "Handlers that panicked."),
        (CANCELLED, "Handlers cancelled because the worker had to stop."),
        (LOST, "Deliveries lost to another worker, by a reconnect or an expired lease, before they were settled."),
        (SETTLE_FAILURES, "Settlements that failed at first; each was tried again."),
        (BROKER_ERRORS, "Temporary errors of the broker, tries to connect included."),
        (RECOVERIES, "How often the broker worked again after errors."),
    ];
    pub(crate) const ERRORS: &str = "swarrot.worker.errors";
    pub(crate) const PANICS: &str = "swarrot.worker.panics";
    pub(crate) const CANCELLED: &str = "swarrot.worker.cancelled";
    pub(crate) const LOST: &str = "swarrot.worker.lost";
    pub(crate) const SETTLE_FAILURES: &str = "swarrot.worker.settle_failures";
    pub(crate) const BROKER_ERRORS: &str = "swarrot.worker.broker_errors";
    pub(crate) const RECOVERIES: &str = "swarrot.worker.recoveries";
}

/// Tells the recorder what the figures mean, as often as it is asked.
pub(crate) struct Described;

impl Described {
    pub(super) fn process() {
        describe_counter!(CONSUMED, Unit::Count, "Number of messages that were delivered to the application.");
        describe_histogram!(PROCESS, Unit::Seconds, "Duration of processing operation.");
        describe_gauge!(IN_FLIGHT, Unit::Count, "Deliveries whose handlers run.");
    }

    pub(super) fn publish() {
        describe_counter!(SENT, Unit::Count, "Number of messages producer attempted to send to the broker.");
        Self::operation();
    }

    pub(crate) fn worker() {
        describe_counter!(worker::SETTLED, Unit::Count, "Deliveries settled, by outcome.");
        for (name, description) in worker::COUNTS {
            describe_counter!(name, Unit::Count, description);
        }
        Self::operation();
    }

    fn operation() {
        let text = "Duration of messaging operation initiated by a producer or consumer client.";
        describe_histogram!(OPERATION, Unit::Seconds, text);
    }
}
