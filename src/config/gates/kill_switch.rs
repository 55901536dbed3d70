//! `kill_switch`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::gate::{self, Gate};

use super::super::read::options;
use super::super::registry::Refusal;
use super::GateOptions;

options! {
    /// Stops fetching when too many messages fail, waits, and probes with a few whether it works again.
    pub(super) struct KillSwitch {
        /// How many failures trip it at least.
        failures: Option<NonZeroU64> => "10",
        /// The share of all messages that must be failures, from 0 to 1; with 0 only their number counts.
        ratio: Option<f64> => "0.5",
        /// How far back it looks.
        window: Option<Duration> => "\"1m\"",
        /// How long the first pause is.
        pause: Option<Duration> => "\"10s\"",
        /// How long a pause may become while probes fail.
        max_pause: Option<Duration> => "\"5m\"",
        /// How many messages have to succeed before all may pass again.
        probes: Option<NonZeroUsize> => "1",
    }
}

/// That of `gate::KillSwitch`.
const DEFAULT_PAUSE: Duration = Duration::from_secs(10);

impl GateOptions for KillSwitch {
    const GATE: &'static str = "kill_switch";

    fn build(self) -> Result<Arc<dyn Gate>, Refusal> {
        let mut switch = gate::KillSwitch::new();
        if let Some(failures) = self.failures {
            switch = switch.failures(failures.get());
        }
        if let Some(ratio) = self.ratio {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(Refusal::at("ratio", "a \"ratio\" is from 0 to 1; half of all is 0.5"));
            }
            switch = switch.ratio(ratio);
        }
        if let Some(window) = self.window {
            if window.is_zero() {
                return Err(Refusal::at("window", "nothing fails within no time; write one, such as \"1m\""));
            }
            switch = switch.window(window);
        }
        if let Some(pause) = self.pause {
            switch = switch.pause(pause);
        }
        if let Some(pause) = self.max_pause {
            let what = match self.pause {
                Some(first) if first > pause => "\"max_pause\" is shorter than \"pause\"; exchange them",
                None if DEFAULT_PAUSE > pause => {
                    "\"max_pause\" is shorter than the first pause, which is \"10s\" unless told; write \"pause\" too"
                }
                _ => "",
            };
            if !what.is_empty() {
                return Err(Refusal::at("max_pause", what));
            }
            switch = switch.max_pause(pause);
        }
        if let Some(probes) = self.probes {
            switch = switch.probes(probes.get());
        }
        Ok(Arc::new(switch))
    }
}
