//! `instant_retry`.

use std::num::NonZeroU32;
use std::time::Duration;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Calls the handler again, in place, when it fails; the last error goes on.
    pub(super) struct InstantRetry {
        /// Calls in all.
        attempts: NonZeroU32 = 3,
        /// The pause between two of them.
        delay: Duration = "2s",
    }
}

impl LayerOptions for InstantRetry {
    const LAYER: &'static str = "instant_retry";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::new(layer::InstantRetry::new(self.attempts.get(), self.delay)))
    }
}
