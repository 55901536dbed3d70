//! So many deliveries in a time.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::promises::{Promises, Wait};
use super::{Flow, Gate, Permit};
use crate::clock::later;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// Unless told otherwise, what comes in this time may come at once: a timer is no finer than a millisecond.
const DEFAULT_BURST: Duration = Duration::from_millis(10);
/// Far enough away for any clock to count to.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Fetches no more than so many deliveries in a time: for a mail server, or an API with a quota.
///
/// It counts deliveries as they are fetched, retried ones again. Workers that share it, by clones of its `Arc`, share the limit;
/// processes do not. It is a token bucket: one delivery becomes due after the other, evenly, and up to
/// [`burst`](Self::burst) of them are saved while there is nothing to do. In any time there are so no more than the rate
/// allows and the burst; and one more for each further loop of a worker, or worker, that waits at an empty queue, which is made
/// up for afterwards.
///
/// While a worker waits, messages stay in the broker, but for those that the provider has fetched in advance: set the
/// [`prefetch`](crate::Worker::prefetch) to 1 where the rate is low and others work on the same queue.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use swarrot_core::gate::RateLimit;
///
/// let evenly = RateLimit::per_second(50);
/// let quota = Arc::new(RateLimit::per(1000, Duration::from_secs(3600)).burst(100));
/// ```
#[derive(Debug)]
pub struct RateLimit {
    deliveries: u32,
    period: Duration,
    /// From one delivery to the next.
    interval: Duration,
    burst: u32,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When as many are saved as may be; none has been fetched yet if there is no such time.
    full_at: Option<Instant>,
    promises: Promises,
}

impl RateLimit {
    /// So many each second. Zero counts as one.
    pub fn per_second(deliveries: u32) -> Self {
        Self::per(deliveries, Duration::from_secs(1))
    }

    /// So many in this time, a year at most. Zero counts as one, and no time as a nanosecond.
    pub fn per(deliveries: u32, period: Duration) -> Self {
        let (deliveries, period) = (deliveries.max(1), period.clamp(Duration::from_nanos(1), YEAR));
        // Rounded up, so that the rate is never exceeded.
        let nanos = period.as_nanos().div_ceil(deliveries.into());
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let burst = u32::try_from(DEFAULT_BURST.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX).max(1);
        Self { deliveries, period, interval, burst, state: Mutex::default(), changed: Notify::new() }
    }

    /// Sets how many may come at once after a time with less to do: what comes in 10 ms and at least one, unless told otherwise.
    /// Zero counts as one.
    pub fn burst(mut self, deliveries: u32) -> Self {
        self.burst = deliveries.max(1);
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for what is due, or when to look again.
    fn try_enter(&self, max: NonZeroUsize, now: Instant) -> Result<Permit, Instant> {
        let mut state = self.lock();
        let until_full = state.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let saved = self.interval.saturating_mul(self.burst).saturating_sub(until_full);
        let due = usize::try_from(saved.as_nanos() / self.interval.as_nanos()).unwrap_or(usize::MAX);
        let next_due = || later(now, until_full.saturating_sub(self.interval.saturating_mul(self.burst - 1)));
        state.promises.make(due, max, now).map_err(|Wait { until }| until.unwrap_or_else(next_due))
    }
}

#[async_trait]
impl Gate for RateLimit {
    async fn enter(&self, max: NonZeroUsize) -> Permit {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let again_at = match self.try_enter(max, Instant::now()) {
                Ok(permit) => return permit,
                Err(at) => at,
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(again_at) => {}
            }
        }
    }

    async fn revoked(&self, _: Permit) {
        std::future::pending::<()>().await;
    }

    fn leave(&self, permit: Permit, came: usize) {
        {
            let mut state = self.lock();
            state.promises.end(permit);
            if came > 0 {
                let now = Instant::now();
                let from = state.full_at.map_or(now, |at| at.max(now));
                state.full_at = Some(later(from, self.interval.saturating_mul(came.try_into().unwrap_or(u32::MAX))));
            }
        }
        // Whoever waits for the promise to grow old may have less to wait for, or more.
        self.changed.notify_waiters();
    }

    fn handled(&self, _: Permit, _: &Delivery, _: &Result<Outcome, BoxError>) {}

    fn not_handled(&self, _: Permit) {}

    fn flow(&self) -> Flow {
        // Whoever shares the queue may wait as well; and giving back what is fetched in advance, again and again, would count as
        // deliveries with some brokers.
        Flow::Free
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate limit of {} per {:?}", self.deliveries, self.period)
    }
}
