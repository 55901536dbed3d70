//! `peak_memory`.

use swarrot_core::layer::{self, BoxLayer};

use super::super::read::options;
use super::super::registry::Refusal;
use super::LayerOptions;

options! {
    /// Logs, at the level debug, the peak of the process's memory while a message was handled (Linux).
    pub(super) struct PeakMemory {}
}

impl LayerOptions for PeakMemory {
    const LAYER: &'static str = "peak_memory";

    fn build(self) -> Result<BoxLayer, Refusal> {
        Ok(BoxLayer::new(layer::PeakMemory::new()))
    }
}
