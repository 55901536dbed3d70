//! The options of a kill switch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::{KillSwitch, Phase, State, Verdict, Window};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::gate::promises::Promises;
use crate::outcome::Outcome;

impl KillSwitch {
    /// Not tripped, with the defaults of all options.
    pub fn new() -> Self {
        Self {
            failures: 10,
            ratio: 0.5,
            window: Duration::from_secs(60),
            pause: Duration::from_secs(10),
            max_pause: Duration::from_secs(300),
            probes: 1,
            judge: Arc::new(|_, result| Verdict::of(result)),
            state: Mutex::new(State {
                phase: Phase::Passing(Window::new(Duration::from_secs(60))),
                earlier: 0,
                promises: Promises::default(),
                next_pause: Duration::from_secs(10),
                trips: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Sets how many failures trip it at least: 10. Zero counts as one.
    pub fn failures(mut self, failures: u64) -> Self {
        self.failures = failures.max(1);
        self
    }

    /// Sets the share of all verdicts that must be failures, from 0 to 1: 0.5. With 0 only their number counts.
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 1.0 };
        self
    }

    /// Sets how far back it looks: a minute, in steps of a tenth of it.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self.with_state(|state, switch| state.phase = Phase::Passing(Window::new(switch.window)))
    }

    /// Sets how long the first pause is: 10 s.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self.with_state(|state, switch| state.next_pause = switch.pause)
    }

    /// Sets how long a pause may become while probes fail: 5 minutes, and no less than the first.
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.max_pause = pause;
        self
    }

    /// Sets how many deliveries have to succeed before all may pass again: 1. Zero counts as one.
    pub fn probes(mut self, deliveries: usize) -> Self {
        self.probes = deliveries.max(1);
        self
    }

    /// Decides what is a failure, in place of [`Verdict::of`]. It sees what the handler returned, all layers included.
    pub fn judge(
        mut self,
        judge: impl Fn(&Delivery, &Result<Outcome, BoxError>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.judge = Arc::new(judge);
        self
    }

    fn with_state(self, change: impl FnOnce(&mut State, &Self)) -> Self {
        change(&mut self.lock(), &self);
        self
    }
}

impl Default for KillSwitch {
    fn default() -> Self {
        Self::new()
    }
}
