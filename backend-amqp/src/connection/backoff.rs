//! How long to wait between tries.

use std::time::Duration;

/// What lived so long was a success: the next try comes at once.
pub(crate) const LIVED: Duration = Duration::from_secs(5);

/// Full jitter below a ceiling that doubles from 100 ms to 5 s, without end: many clients that lost one server do not
/// come back at the same moment, and none is long away from a server that is back.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    /// How long to wait before the next try.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = Self::FIRST.saturating_mul(1 << self.tries.min(10)).min(Self::MAX);
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_ceiling_and_stays_below() {
        let mut backoff = Backoff::default();
        for ceiling in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            assert!(backoff.next() <= Duration::from_millis(ceiling));
        }
        let longest = (0..200).map(|_| backoff.next()).max().expect("some");
        assert!(longest > Duration::from_millis(2500), "it does jitter over the whole range");
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }
}
