//! `timeout`.

use std::time::Duration;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Cancels a handler that takes too long, which counts as an error.
    pub(super) struct Timeout {
        /// The most that it may take.
        limit: Duration,
    }
}

impl LayerOptions for Timeout {
    const LAYER: &'static str = "timeout";

    fn build(self) -> Result<AnyLayer, Refusal> {
        if self.limit.is_zero() {
            return Err(Refusal::at("limit", "no handler ends within no time; give it longer"));
        }
        Ok(AnyLayer::new(layer::Timeout::new(self.limit)))
    }
}
