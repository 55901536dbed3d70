//! At most so many messages a second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Keeps to a number of messages a second.
#[derive(Debug)]
pub(crate) struct Pace {
    /// `None`: as fast as it goes.
    per_message: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// So many messages a second, from now on.
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self { per_message: per_second.map(|rate| Duration::from_secs_f64(1.0 / rate)), next: Instant::now() }
    }

    /// Messages to take at a time, `most` at most: a tenth of a second's worth, so that a low rate is an even one.
    pub(crate) fn batch(&self, most: usize) -> usize {
        let Some(per_message) = self.per_message else { return most };
        let tenth = Duration::from_millis(100).as_nanos() / per_message.as_nanos().max(1);
        usize::try_from(tenth).unwrap_or(most).clamp(1, most)
    }

    /// Waits until more may go. Cancel safe.
    pub(crate) async fn ready(&self) {
        if self.per_message.is_some() {
            sleep_until(self.next).await;
        }
    }

    /// So many have gone.
    pub(crate) fn took(&mut self, messages: usize) {
        let Some(per_message) = self.per_message else { return };
        // What was not used is not made up for.
        let from = self.next.max(Instant::now());
        self.next = from + per_message.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_to_the_rate() {
        let mut pace = Pace::new(Some(50.0));
        assert_eq!(pace.batch(100), 5);
        let began = Instant::now();
        for _ in 0..11 {
            pace.ready().await;
            pace.took(5);
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_low_rate_takes_one_at_a_time() {
        let mut pace = Pace::new(Some(0.5));
        assert_eq!(pace.batch(100), 1);
        let began = Instant::now();
        for _ in 0..3 {
            pace.ready().await;
            pace.took(1);
        }
        assert_eq!(began.elapsed(), Duration::from_secs(4));
        assert_eq!(Pace::new(None).batch(100), 100);
    }
}
