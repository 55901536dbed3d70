//! The time of day, and times that are far away.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A century: what is further away will not be waited for.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// So long after a moment; what no clock can count to is a century away.
pub(crate) fn later(moment: tokio::time::Instant, time: Duration) -> tokio::time::Instant {
    moment + time.min(FAR)
}

/// Whole seconds since the Unix epoch, as headers and the timestamp property count them.
///
/// It follows tokio's clock: where a test has paused it, the time of day goes on as that one does. Elsewhere it is the
/// system's.
pub fn unix_time() -> u64 {
    let (real, tokio) = (Instant::now(), tokio::time::Instant::now().into_std());
    let (ahead, behind) = (tokio.saturating_duration_since(real), real.saturating_duration_since(tokio));
    let now = SystemTime::now().checked_add(ahead).and_then(|now| now.checked_sub(behind));
    now.and_then(|now| now.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_far_away_is_far_away() {
        let now = tokio::time::Instant::now();
        assert_eq!(later(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        assert_eq!(later(now, Duration::MAX), now + FAR);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_with_a_paused_clock() {
        let before = unix_time();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let passed = unix_time() - before;
        assert!((3600..=3601).contains(&passed), "{passed}");
    }

    #[test]
    fn without_a_runtime_it_is_the_systems() {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(unix_time().abs_diff(system) <= 1);
    }
}
