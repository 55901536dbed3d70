//! Layers of publishers by name.
//!
//! Each is one file here, with its options, and a line in the default of [`PublisherLayers`].

#[cfg(feature = "metrics")]
mod metrics;
mod trace;

use std::fmt;
use std::sync::Arc;

use swarrot_core::publishing::PublisherLayer;

use super::read::{FromValue, Options, Value};
use super::registry::{Refusal, Registry};

/// A layer of publishers, of any type.
pub type AnyPublisherLayer = Arc<dyn PublisherLayer + Send + Sync>;

/// Options of a layer of publishers, as the `layers` of a publisher in a file have them. It is made known as a layer is: see
/// [`LayerOptions`](super::LayerOptions).
pub trait PublisherLayerOptions: Options {
    /// The layer's name in the file.
    const LAYER: &'static str;

    /// Makes the layer, once for each place in the file.
    ///
    /// # Errors
    /// What is wrong with the options and what to do.
    fn build(self) -> Result<AnyPublisherLayer, Refusal>;
}

/// Layers that a publisher may have.
pub(super) type PublisherLayers = Registry<AnyPublisherLayer>;

/// Those of this crate.
impl Default for PublisherLayers {
    fn default() -> Self {
        let mut layers = Self::new("layer");
        #[cfg(feature = "metrics")]
        layers.add_publisher_layer::<metrics::PublisherMetrics>();
        #[cfg(not(feature = "metrics"))]
        layers.leave_out("metrics", "metrics");
        layers.add_publisher_layer::<trace::PublisherTrace>();
        layers
    }
}

impl PublisherLayers {
    pub(super) fn add_publisher_layer<O: PublisherLayerOptions>(&mut self) {
        self.add(O::LAYER, O::build);
    }
}

/// A layer of a publisher.
#[derive(Clone)]
pub(super) struct PublisherLayerEntry(pub(super) AnyPublisherLayer);

impl FromValue for PublisherLayerEntry {
    const EXPECTED: &'static str = "tables, each with the name of a layer, such as { layer = \"trace\" }";
    const KIND: &'static str = "table with a `layer` and its options";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.reading().known.publisher_layers.read(value, Self::EXPECTED).map(Self)
    }
}

impl fmt::Debug for PublisherLayerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherLayerEntry")
    }
}
