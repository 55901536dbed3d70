//! `max_age`.

use std::time::Duration;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Parks a message that has failed and is too old.
    pub(super) struct MaxAge {
        /// The age, in whole seconds.
        limit: Duration,
    }
}

impl LayerOptions for MaxAge {
    const LAYER: &'static str = "max_age";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::new(layer::MaxAge::new(self.limit)))
    }
}
