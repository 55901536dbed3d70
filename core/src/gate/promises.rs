//! Who was promised what.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::Instant;

use super::Permit;

/// How long a permit keeps others from what it is for. Where messages wait they come at once; whoever has waited longer waits
/// at an empty queue, perhaps for an hour, and must not hold up those who have something to do.
const FRESH: Duration = Duration::from_millis(100);

/// Permits with which somebody waits for deliveries.
///
/// What is limited is counted when deliveries come. Until then a permit is a promise: for a moment it keeps others from its
/// share; then they get one delivery at a time beside it. So of several that wait, each may go beyond the limit by one.
#[derive(Debug, Default)]
pub(super) struct Promises {
    last_tag: u64,
    open: Vec<Promise>,
}

#[derive(Debug)]
struct Promise {
    tag: u64,
    deliveries: usize,
    fresh_until: Instant,
}

/// Nothing can be promised now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// When a promise will no longer be in the way; `None` if none is.
    pub(super) until: Option<Instant>,
}

impl Promises {
    /// Promises up to `max` of what is free, if anything is left of it.
    pub(super) fn make(&mut self, free: usize, max: NonZeroUsize, now: Instant) -> Result<Permit, Wait> {
        let all: usize = self.open.iter().map(|promise| promise.deliveries).sum();
        let fresh = self.open.iter().filter(|promise| promise.fresh_until > now);
        let in_the_way: usize = fresh.clone().map(|promise| promise.deliveries).sum();
        let deliveries = match (NonZeroUsize::new(free.saturating_sub(all)), free > in_the_way) {
            (Some(left), _) => left.min(max),
            (None, true) => NonZeroUsize::MIN,
            (None, false) => {
                let until = fresh.map(|promise| promise.fresh_until).min().filter(|_| free > 0);
                return Err(Wait { until });
            }
        };
        let permit = self.tag(deliveries);
        self.open.push(Promise { tag: permit.tag(), deliveries: deliveries.get(), fresh_until: now + FRESH });
        Ok(permit)
    }

    /// A permit that promises nothing, with a tag of its own.
    pub(super) fn tag(&mut self, deliveries: NonZeroUsize) -> Permit {
        self.last_tag += 1;
        Permit::new(deliveries).tagged(self.last_tag)
    }

    /// The tag of the last permit.
    pub(super) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// Whoever has this permit waits no more.
    pub(super) fn end(&mut self, permit: Permit) {
        self.open.retain(|promise| promise.tag != permit.tag());
    }

    /// Nobody is promised anything any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn max(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).expect("not zero")
    }

    #[tokio::test(start_paused = true)]
    async fn a_promise_is_in_the_way_for_a_moment_only() {
        let mut promises = Promises::default();
        let start = Instant::now();
        let first = promises.make(10, max(20), start).expect("all of it");
        assert_eq!(first.deliveries(), max(10));
        assert_eq!(promises.make(10, max(5), start), Err(Wait { until: Some(start + FRESH) }));
        let later = start + FRESH;
        let second = promises.make(10, max(5), later).expect("beside the first");
        assert_eq!(second.deliveries(), NonZeroUsize::MIN);
        promises.end(first);
        assert_eq!(promises.make(10, max(20), later).expect("what is left").deliveries(), max(9));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_free_is_nothing_promised() {
        let mut promises = Promises::default();
        let start = Instant::now();
        assert_eq!(promises.make(0, max(5), start), Err(Wait { until: None }));
        let one = promises.make(1, max(5), start).expect("one");
        assert_eq!(promises.make(0, max(5), start + FRESH), Err(Wait { until: None }));
        promises.end(one);
        assert_eq!(promises.make(1, max(5), start).expect("one").deliveries(), NonZeroUsize::MIN);
    }
}
