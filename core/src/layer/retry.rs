//! Trying again, later and later.

use std::time::Duration;

use tower_layer::Layer;
use tracing::warn;

use crate::delivery::Delivery;
use crate::error::{BoxError, Permanent};
use crate::handler::Handler;
use crate::outcome::{Outcome, Reason};

/// Turns a handler's error into a retry after a delay, until the attempts are used up; the last error goes through.
///
/// An error marked [`Permanent`] goes through at once. A handler that returns [`Outcome::Retry`] itself decides alone.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::Retry;
///
/// // After 30 s, 1 min, 2 min … up to 30 min, each a little off; five attempts in all.
/// let retry = Retry::exponential(Duration::from_secs(30), Duration::from_secs(30 * 60)).attempts(5).jitter();
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    delays: Delays,
    attempts: u32,
    jitter: bool,
}

#[derive(Clone, Debug)]
enum Delays {
    List(Vec<Duration>),
    Exponential { first: Duration, max: Duration },
}

impl Retry {
    /// Attempts in all, unless told otherwise: 4, that is three retries.
    pub const DEFAULT_ATTEMPTS: u32 = 4;

    /// The same delay before each retry.
    pub fn fixed(delay: Duration) -> Self {
        Self::with(Delays::List(vec![delay]))
    }

    /// These delays, one after the other; the last one stays. One retry for each, unless [`attempts`](Self::attempts)
    /// says otherwise; without a delay there is no retry.
    pub fn list(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays: Vec<_> = delays.into_iter().collect();
        let attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self::with(Delays::List(delays)).attempts(attempts)
    }

    /// Delays that double from `first` up to `max`.
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self::with(Delays::Exponential { first, max })
    }

    fn with(delays: Delays) -> Self {
        Self { delays, attempts: Self::DEFAULT_ATTEMPTS, jitter: false }
    }

    /// Sets how often a message is handled in all, the first time included.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Draws each delay between half of it and the whole, so that messages that failed together do not come back
    /// together.
    pub fn jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// The delay after this attempt has failed, from 1; `None` if it was the last.
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let failed_before = attempt.saturating_sub(1);
        let delay = match &self.delays {
            Delays::List(delays) => {
                *delays.get(usize::try_from(failed_before).unwrap_or(usize::MAX)).or(delays.last())?
            }
            Delays::Exponential { first, max } => {
                let factor = 2_u32.checked_pow(failed_before).unwrap_or(u32::MAX);
                first.saturating_mul(factor).min(*max)
            }
        };
        Some(if self.jitter { delay.mul_f64(0.5 + fastrand::f64() / 2.0) } else { delay })
    }
}

impl<H> Layer<H> for Retry {
    type Service = RetryHandler<H>;

    fn layer(&self, inner: H) -> RetryHandler<H> {
        RetryHandler { inner, retry: self.clone() }
    }
}

/// A handler whose errors are retried by [`Retry`].
#[derive(Clone, Debug)]
pub struct RetryHandler<H> {
    inner: H,
    retry: Retry,
}

impl<H: Handler> Handler for RetryHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let attempt = delivery.attempt();
        let result = self.inner.handle(delivery.clone()).await;
        let Err(error) = result else { return result };
        if Permanent::is(&*error) {
            return Err(error);
        }
        let Some(after) = self.retry.delay_after(attempt) else { return Err(error) };
        let reason = Reason::from_error(&*error);
        warn!(queue = delivery.queue(), id = delivery.id(), attempt, ?after, %reason, "the handler failed; trying again later");
        Ok(Outcome::Retry { after, reason: Some(reason) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(retry: &Retry) -> Vec<u64> {
        (1..).map_while(|attempt| retry.delay_after(attempt)).map(|delay| delay.as_secs()).collect()
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn delays_by_attempt() {
        assert_eq!(seconds(&Retry::fixed(secs(5))), [5, 5, 5]);
        assert_eq!(seconds(&Retry::list([secs(30), secs(180), secs(1800)])), [30, 180, 1800]);
        assert_eq!(seconds(&Retry::list([secs(1), secs(2)]).attempts(5)), [1, 2, 2, 2]);
        assert_eq!(seconds(&Retry::exponential(secs(30), secs(200)).attempts(6)), [30, 60, 120, 200, 200]);
        assert!(seconds(&Retry::list([])).is_empty());
        assert!(seconds(&Retry::fixed(secs(5)).attempts(0)).is_empty());
    }

    #[test]
    fn a_count_from_elsewhere_does_not_overflow() {
        let retry = Retry::exponential(secs(30), secs(200)).attempts(u32::MAX);
        assert_eq!(retry.delay_after(u32::MAX - 1), Some(secs(200)));
    }

    #[test]
    fn jitter_stays_between_half_and_whole() {
        let retry = Retry::fixed(secs(10)).jitter();
        for _ in 0..100 {
            let delay = retry.delay_after(1).expect("a retry");
            assert!((secs(5)..=secs(10)).contains(&delay), "{delay:?}");
        }
    }
}
