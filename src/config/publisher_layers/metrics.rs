//! `metrics`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyPublisherLayer, PublisherLayerOptions};

options! {
    /// Counts and times what is published, through the facade `metrics` (feature `metrics`).
    pub(super) struct PublisherMetrics {
        /// How many exchanges have figures of their own; the others are counted together.
        max_destinations: Option<NonZeroUsize> => "100",
    }
}

impl PublisherLayerOptions for PublisherMetrics {
    const LAYER: &'static str = "metrics";

    fn build(self) -> Result<AnyPublisherLayer, Refusal> {
        let metrics = layer::Metrics::new();
        Ok(Arc::new(match self.max_destinations {
            Some(most) => metrics.max_destinations(most),
            None => metrics,
        }))
    }
}
