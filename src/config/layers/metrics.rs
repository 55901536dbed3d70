//! `metrics`.

use std::num::NonZeroUsize;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Counts and times deliveries, through the facade `metrics` (feature `metrics`).
    pub(super) struct Metrics {
        /// How many queues have figures of their own; the others are counted together.
        max_destinations: Option<NonZeroUsize> => "100",
    }
}

impl LayerOptions for Metrics {
    const LAYER: &'static str = "metrics";

    fn build(self) -> Result<AnyLayer, Refusal> {
        let metrics = layer::Metrics::new();
        Ok(AnyLayer::new(match self.max_destinations {
            Some(most) => metrics.max_destinations(most),
            None => metrics,
        }))
    }
}
