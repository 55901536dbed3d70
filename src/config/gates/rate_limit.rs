//! `rate_limit`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::gate::{self, Gate};

use super::super::read::options;
use super::super::registry::Refusal;
use super::GateOptions;

options! {
    /// Fetches no more than so many deliveries in a time.
    pub(super) struct RateLimit {
        /// How many.
        deliveries: NonZeroU32,
        /// In which time; a year at most.
        per: Duration = "1s",
        /// How many may come at once after a time with less to do.
        burst: Option<NonZeroU32> => "what comes in 10 ms, at least 1",
    }
}

impl GateOptions for RateLimit {
    const GATE: &'static str = "rate_limit";

    fn build(self) -> Result<Arc<dyn Gate>, Refusal> {
        if self.per.is_zero() {
            return Err(Refusal::at("per", "no time is no rate; write one, such as \"1s\""));
        }
        let limit = gate::RateLimit::per(self.deliveries.get(), self.per);
        Ok(match self.burst {
            Some(burst) => Arc::new(limit.burst(burst.get())),
            None => Arc::new(limit),
        })
    }
}
