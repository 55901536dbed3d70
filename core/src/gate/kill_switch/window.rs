//! Counts of the recent past.

use std::time::Duration;

use tokio::time::Instant;

use super::Verdict;

/// Parts of a window: so much of it is forgotten at once.
const PARTS: usize = 10;

/// Verdicts of the recent past, counted in a fixed number of parts, so that it takes no more memory the more there are.
#[derive(Debug)]
pub(super) struct Window {
    part: Duration,
    /// When the newest part began, once something was counted.
    newest_since: Option<Instant>,
    newest: usize,
    parts: [Counted; PARTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    failed: u64,
    all: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let part = (length / 10).max(Duration::from_nanos(1));
        Self { part, newest_since: None, newest: 0, parts: [Counted::default(); PARTS] }
    }

    pub(super) fn count(&mut self, verdict: Verdict, now: Instant) {
        self.forget(now);
        let part = &mut self.parts[self.newest];
        match verdict {
            Verdict::Success => part.all += 1,
            Verdict::Failure => {
                part.all += 1;
                part.failed += 1;
            }
            Verdict::Neither => {}
        }
    }

    /// How many failed, and how many there were.
    pub(super) fn sums(&mut self, now: Instant) -> (u64, u64) {
        self.forget(now);
        self.parts.iter().fold((0, 0), |(failed, all), part| (failed + part.failed, all + part.all))
    }

    /// Begins a new part for each that has passed.
    fn forget(&mut self, now: Instant) {
        let since = *self.newest_since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_nanos() / self.part.as_nanos();
        if passed == 0 {
            return;
        }
        if passed >= PARTS as u128 {
            self.parts = [Counted::default(); PARTS];
            self.newest_since = Some(now);
            return;
        }
        let passed = u32::try_from(passed).unwrap_or_default();
        self.newest_since = Some(since + self.part * passed);
        for _ in 0..passed {
            self.newest = (self.newest + 1) % PARTS;
            self.parts[self.newest] = Counted::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_is_forgotten_bit_by_bit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(Duration::from_secs(10));
        window.count(Verdict::Failure, at(0));
        window.count(Verdict::Success, at(5));
        window.count(Verdict::Neither, at(5));
        assert_eq!(window.sums(at(9)), (1, 2));
        assert_eq!(window.sums(at(10)), (0, 1));
        window.count(Verdict::Failure, at(14));
        assert_eq!(window.sums(at(15)), (1, 1));
        assert_eq!(window.sums(at(100)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_of_no_length_counts_one_moment() {
        let start = Instant::now();
        let mut window = Window::new(Duration::ZERO);
        window.count(Verdict::Failure, start);
        assert_eq!(window.sums(start), (1, 1));
        assert_eq!(window.sums(start + Duration::from_millis(1)), (0, 0));
    }
}
