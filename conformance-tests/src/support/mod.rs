//! What the cases share: counting, and short words for what they do again and again.

mod faults;
mod gauge;
mod ledger;
mod poll;
mod provider;
mod publisher;
mod worker;

use std::time::Duration;

pub(crate) use self::faults::{acked_or_stale, drained, insist, reconnected};
pub(crate) use self::gauge::Gauge;
pub(crate) use self::ledger::Ledger;
pub(crate) use self::poll::poll_times;
pub(crate) use self::provider::ProviderActions;
pub(crate) use self::publisher::PublisherActions;
pub(crate) use self::worker::Running;

/// How long something that must come may take, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing must come before "nothing comes" is believed.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Milliseconds.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Seconds.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Bodies `prefix-0`, `prefix-1`, …
pub(crate) fn bodies(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}-{i}")).collect()
}

/// A delivery's body as text.
pub(crate) fn text(delivery: &swarrot_core::Delivery) -> String {
    String::from_utf8_lossy(delivery.body()).into_owned()
}
