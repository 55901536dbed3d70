//! `trace`.

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// A span for each delivery, in the trace of the first publish.
    pub(super) struct Trace {
        /// Begins a new trace with each delivery, linked to the one that published it.
        links_only: bool = false,
    }
}

impl LayerOptions for Trace {
    const LAYER: &'static str = "trace";

    fn build(self) -> Result<AnyLayer, Refusal> {
        let trace = layer::Trace::new();
        Ok(AnyLayer::new(if self.links_only { trace.links_only() } else { trace }))
    }
}
