//! `trace`.

use std::sync::Arc;

use swarrot_core::layer;

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyPublisherLayer, PublisherLayerOptions};

options! {
    /// A span for each publish, whose trace goes with the message.
    pub(super) struct PublisherTrace {
        /// Whether each message of a batch has a span of its own beside that of the batch.
        create_spans: bool = true,
    }
}

impl PublisherLayerOptions for PublisherTrace {
    const LAYER: &'static str = "trace";

    fn build(self) -> Result<AnyPublisherLayer, Refusal> {
        let trace = layer::Trace::new();
        Ok(Arc::new(if self.create_spans { trace } else { trace.without_create_spans() }))
    }
}
