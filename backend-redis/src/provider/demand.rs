//! Whether anybody asks for deliveries.

use std::time::Duration;

use tokio::time::Instant;

use super::Shared;

/// Whether anybody asks for deliveries: who has not asked for the length of a lease gets none fetched in advance, so that a
/// provider that nobody uses does not keep messages from others.
#[derive(Debug)]
pub(super) struct Demand {
    /// Calls of `receive` under way.
    calls: usize,
    last: Option<Instant>,
    lease: Duration,
}

impl Demand {
    pub(super) fn new(lease: Duration) -> Self {
        Self { calls: 0, last: None, lease }
    }

    /// Nobody asks from now on, unless a call is under way: then false.
    pub(super) fn end(&mut self) -> bool {
        if self.calls == 0 {
            self.last = None;
        }
        self.calls == 0
    }

    /// Until when somebody asks, as far as is known now; `None` if nobody does.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        let last = if self.calls > 0 { Some(now) } else { self.last };
        last.map(|last| last + self.lease).filter(|until| *until > now)
    }
}

/// A call of `receive`, however it ends.
pub(super) struct Asking<'a>(&'a Shared);

impl<'a> Asking<'a> {
    pub(super) fn begin(shared: &'a Shared) -> Self {
        let awaited = {
            let mut state = shared.lock();
            let awaited = state.demand.until(Instant::now()).is_none();
            state.demand.calls += 1;
            awaited
        };
        if awaited {
            shared.changed.notify_one();
        }
        Self(shared)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.demand.calls -= 1;
        state.demand.last = Some(Instant::now());
    }
}
