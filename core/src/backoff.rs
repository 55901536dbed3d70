//! Waiting longer and longer.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays for trying again: each is drawn between nothing and a limit that doubles up to a maximum ("full jitter"), so
/// that many clients of a broker that went away do not come back in step. It never ends.
///
/// The method is the one recommended in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Debug)]
pub struct Backoff {
    limits: ExponentialBuilder,
    next: ExponentialBackoff,
}

impl Backoff {
    /// Limits from `first`, doubling up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        let limits =
            ExponentialBuilder::new().with_min_delay(first).with_max_delay(max).with_factor(2.0).without_max_times();
        Self { limits, next: limits.build() }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.next.next().unwrap_or_default().mul_f64(fastrand::f64())
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.limits.build();
    }
}

/// For a broker that went away: from 100 ms to 30 s.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_doubling_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for limit in [100, 200, 400, 800, 1000, 1000] {
            assert!(backoff.next_delay() <= Duration::from_millis(limit));
        }
        let many: Vec<_> = (0..1000).map(|_| backoff.next_delay()).collect();
        assert!(many.iter().any(|d| *d > Duration::from_millis(900)), "drawn from the whole range");
        assert!(many.iter().any(|d| *d < Duration::from_millis(100)));
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
