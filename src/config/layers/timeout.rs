//! `timeout`.

use std::time::Duration;

use swarrot_core::layer;

use super::super::read::options;
use super::{LayerOptions, Parts, Refusal};

options! {
    /// Cancels a handler that takes too long, which counts as an error.
    pub(super) struct Timeout {
        /// The most that it may take.
        limit: Duration,
    }
}

impl LayerOptions for Timeout {
    const LAYER: &'static str = "timeout";

    fn apply(self, parts: &mut Parts) -> Result<(), Refusal> {
        if self.limit.is_zero() {
            return Err(Refusal::at("limit", "no handler ends within no time; give it longer"));
        }
        parts.layer(layer::Timeout::new(self.limit));
        Ok(())
    }
}
