//! `retry`.

use std::time::Duration;

use swarrot_core::layer::{self, BoxLayer};

use super::super::read::options;
use super::{LayerOptions, Refusal};

options! {
    /// Tries again later what has failed, until the attempts are used up. One of `fixed`, `list` and `exponential` says when.
    pub(super) struct Retry {
        /// The same delay before each retry.
        fixed: Option<Duration>,
        /// These delays, one after the other; the last one stays.
        list: Option<Vec<Duration>>,
        /// Delays that double.
        exponential: Option<Exponential>,
        /// How often a message is handled in all, the first time included.
        attempts: Option<u32> => "4; with `list` one more than it has delays",
        /// Draws each delay between half of it and the whole.
        jitter: bool = false,
    }
}

options! {
    /// Delays that double.
    pub(super) struct Exponential {
        /// The first one.
        first: Duration,
        /// The longest one.
        max: Duration,
    }
}

impl LayerOptions for Retry {
    const LAYER: &'static str = "retry";

    fn build(self) -> Result<BoxLayer, Refusal> {
        let retry = match (self.fixed, self.list, self.exponential) {
            (Some(delay), None, None) => layer::Retry::fixed(delay),
            (None, Some(delays), None) => {
                if delays.is_empty() {
                    return Err(Refusal::at("list", "without a delay there is no retry; add one, such as \"30s\""));
                }
                layer::Retry::list(delays)
            }
            (None, None, Some(Exponential { first, max })) => {
                if max < first {
                    return Err(Refusal::at("exponential", "\"max\" is shorter than \"first\"; the delays grow"));
                }
                layer::Retry::exponential(first, max)
            }
            (None, None, None) => {
                return Err(Refusal::new("the delays are missing; add one of: fixed, list, exponential"));
            }
            _ => return Err(Refusal::new("fixed, list and exponential exclude each other; leave one")),
        };
        let retry = match self.attempts {
            Some(0) => return Err(Refusal::at("attempts", "the first attempt counts too; 1 is no retry at all")),
            Some(attempts) => retry.attempts(attempts),
            None => retry,
        };
        Ok(BoxLayer::new(if self.jitter { retry.jitter() } else { retry }))
    }
}
