//! Chance in delays, so that messages that failed together do not come back together.

use std::time::Duration;

/// From which range around a delay one is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Jitter {
    /// The delay as it is.
    None,
    /// From nothing to the whole.
    Full,
    /// From half to the whole.
    Equal,
    /// So many per cent around it.
    Percent(u8),
    /// From the whole to so much more, times the number of the attempt: Sidekiq's.
    Growing(Duration),
}

impl Jitter {
    /// A delay after this attempt, from 1.
    pub(super) fn draw(self, delay: Duration, attempt: u32) -> Duration {
        match self {
            Self::None => delay,
            Self::Full => scaled(delay, fastrand::f64()),
            Self::Equal => scaled(delay, 0.5 + fastrand::f64() / 2.0),
            Self::Percent(percent) => scaled(delay, 1.0 + f64::from(percent) / 100.0 * (2.0 * fastrand::f64() - 1.0)),
            Self::Growing(spread) => delay.saturating_add(scaled(spread.saturating_mul(attempt), fastrand::f64())),
        }
    }
}

fn scaled(delay: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(100);

    /// The least and the most of many draws, in seconds.
    fn range(jitter: Jitter, attempt: u32) -> (f64, f64) {
        let draws: Vec<_> = (0..2000).map(|_| jitter.draw(DELAY, attempt).as_secs_f64()).collect();
        (draws.iter().copied().fold(f64::MAX, f64::min), draws.iter().copied().fold(0.0, f64::max))
    }

    /// All draws are within these bounds, and they reach near both.
    #[track_caller]
    fn spans(jitter: Jitter, attempt: u32, from: f64, to: f64) {
        let (least, most) = range(jitter, attempt);
        let near = (to - from) / 20.0;
        assert!(from <= least && least < from + near, "{jitter:?}: {least} from {from}");
        assert!(to - near < most && most <= to, "{jitter:?}: {most} to {to}");
    }

    #[test]
    fn each_kind_draws_from_its_whole_range() {
        spans(Jitter::Full, 1, 0.0, 100.0);
        spans(Jitter::Equal, 1, 50.0, 100.0);
        spans(Jitter::Percent(20), 1, 80.0, 120.0);
        spans(Jitter::Percent(100), 1, 0.0, 200.0);
        spans(Jitter::Growing(Duration::from_secs(10)), 1, 100.0, 110.0);
        spans(Jitter::Growing(Duration::from_secs(10)), 3, 100.0, 130.0);
        assert_eq!(range(Jitter::None, 1), (100.0, 100.0));
    }

    #[test]
    fn the_longest_delays_do_not_overflow() {
        let growing = Jitter::Growing(Duration::MAX);
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Percent(100), growing] {
            for _ in 0..1000 {
                jitter.draw(Duration::MAX, u32::MAX);
                jitter.draw(Duration::ZERO, 0);
            }
        }
        assert_eq!(growing.draw(Duration::MAX, u32::MAX), Duration::MAX);
    }
}
