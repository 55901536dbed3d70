//! `peak_memory`.

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Logs, at the level debug, the peak of the process's memory while a message was handled (Linux).
    pub(super) struct PeakMemory {}
}

impl LayerOptions for PeakMemory {
    const LAYER: &'static str = "peak_memory";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::new(layer::PeakMemory::new()))
    }
}
