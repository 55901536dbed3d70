//! How long to wait, by the number of the attempt that failed.
//!
//! Plain functions of the attempt: a message may come to another worker each time, so that an iterator with a state, as
//! `backon` has them for calls within one process, does not fit.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The delay after an attempt and its error.
type Own = dyn Fn(u32, &(dyn StdError + 'static)) -> Option<Duration> + Send + Sync;

/// Seconds that Sidekiq adds to every delay.
const SIDEKIQ_BASE: u64 = 15;
/// The random time that Sidekiq adds to the first delay, at most.
pub(super) const SIDEKIQ_SPREAD: Duration = Duration::from_secs(10);

/// How long to wait, by the number of the attempt that failed.
#[derive(Clone)]
pub(super) enum Delays {
    /// One after the other; the last one stays.
    List(Vec<Duration>),
    /// Doubling.
    Exponential { first: Duration, max: Duration },
    /// n⁴ + 15 s, from n = 0.
    Polynomial,
    /// The user's.
    Own(Arc<Own>),
}

impl Delays {
    /// The delay after this attempt, from 1.
    pub(super) fn after(&self, attempt: u32, error: &(dyn StdError + 'static)) -> Option<Duration> {
        let failed_before = attempt.saturating_sub(1);
        match self {
            Self::List(delays) => {
                let index = usize::try_from(failed_before).unwrap_or(usize::MAX);
                delays.get(index).or(delays.last()).copied()
            }
            Self::Exponential { first, max } => Some(doubled(*first, failed_before, *max)),
            Self::Polynomial => {
                let seconds = u64::from(failed_before).saturating_pow(4).saturating_add(SIDEKIQ_BASE);
                Some(Duration::from_secs(seconds))
            }
            Self::Own(delay) => delay(attempt, error),
        }
    }
}

/// Doubled so many times, up to a maximum.
fn doubled(first: Duration, mut times: u32, max: Duration) -> Duration {
    let mut delay = first;
    // A few rounds at the most: a duration has less than a hundred bits.
    while times > 0 && delay < max && !delay.is_zero() {
        let step = times.min(31);
        delay = delay.saturating_mul(1 << step);
        times -= step;
    }
    delay.min(max)
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(delays) => f.debug_tuple("List").field(delays).finish(),
            Self::Exponential { first, max } => write!(f, "Exponential({first:?} to {max:?})"),
            Self::Polynomial => f.write_str("Polynomial"),
            Self::Own(_) => f.write_str("Own"),
        }
    }
}
