//! How a provider or publisher should behave.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::message::Limits;

/// How a provider should behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderOptions {
    /// Unsettled deliveries it may hold: 100. A worker sets it to fit its concurrency.
    pub prefetch: NonZeroU16,
    /// What becomes of rejected deliveries.
    pub dead_letter: DeadLetter,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self { prefetch: const { NonZeroU16::new(100).expect("not zero") }, dead_letter: DeadLetter::Park }
    }
}

impl ProviderOptions {
    /// Sets how many unsettled deliveries it may hold.
    pub fn prefetch(mut self, prefetch: NonZeroU16) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets what becomes of rejected deliveries.
    pub fn dead_letter(mut self, dead_letter: DeadLetter) -> Self {
        self.dead_letter = dead_letter;
        self
    }
}

/// What becomes of messages that are given up on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeadLetter {
    /// Parked in the queue's dead-letter queue, `<queue>.dead`, with their reason.
    #[default]
    Park,
    /// Dropped.
    Drop,
}

/// How a publisher should behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublisherOptions {
    /// How long a message may wait for its confirmation, reconnects and retries included: 30 s.
    pub timeout: Duration,
    /// How large a message may be.
    pub limits: Limits,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), limits: Limits::default() }
    }
}

impl PublisherOptions {
    /// Sets how long a message may wait for its confirmation.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how large a message may be.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
