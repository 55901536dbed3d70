//! What a case prints.

use serde::{Deserialize, Serialize};

/// What a case cost, in a form that other programs can print too.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    /// Messages that were measured.
    pub(crate) messages: u64,
    /// From the first to the last of them.
    pub(crate) seconds: f64,
    /// Processor time of the process for each message, in microseconds.
    pub(crate) cpu: f64,
    /// Voluntary context switches of the process for each message.
    pub(crate) switches: f64,
    /// The most memory that the process had, in MiB.
    pub(crate) rss: f64,
    /// Allocations for each message, where they are counted.
    pub(crate) allocations: f64,
    /// Allocations of the process, from its beginning to its end.
    pub(crate) all_allocations: f64,
    /// Processor time of the broker for each message, in microseconds.
    pub(crate) broker: f64,
    /// Percentiles of the latency in milliseconds: 50, 99, 99.9.
    pub(crate) latency: [f64; 3],
}

impl Figures {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// Nanoseconds for each message.
    pub(crate) fn nanoseconds(&self) -> f64 {
        self.seconds * 1e9 / self.messages as f64
    }
}
