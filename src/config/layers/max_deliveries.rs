//! `max_deliveries`.

use std::num::NonZeroU32;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Parks a message that has failed and was delivered too often, in whatever way it came back.
    pub(super) struct MaxDeliveries {
        /// Deliveries, the one in hand included.
        limit: NonZeroU32,
    }
}

impl LayerOptions for MaxDeliveries {
    const LAYER: &'static str = "max_deliveries";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::new(layer::MaxDeliveries::new(self.limit.get())))
    }
}
