//! What a case prints.

use serde::{Deserialize, Serialize};

/// What a case cost, in a form that other programs can print too.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Messages that were measured.
    pub messages: u64,
    /// From the first to the last of them.
    pub seconds: f64,
    /// Processor time of the process for each message, in microseconds.
    pub cpu: f64,
    /// Voluntary context switches of the process for each message.
    pub switches: f64,
    /// The most memory that the process had, in MiB.
    pub rss: f64,
    /// Allocations for each message, where they are counted.
    pub allocations: f64,
    /// Allocations of the process, from its beginning to its end.
    pub all_allocations: f64,
    /// Processor time of the broker for each message, in microseconds.
    pub broker: f64,
    /// Percentiles of the latency in milliseconds: 50, 99, 99.9.
    pub latency: [f64; 3],
}

impl Figures {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// Nanoseconds for each message.
    pub fn nanoseconds(&self) -> f64 {
        self.seconds * 1e9 / self.messages as f64
    }
}
