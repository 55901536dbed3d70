//! Layers by name.
//!
//! A layer is one file here, with its options, and a line in the default of [`Layers`].

mod any;
mod deduplicate;
mod instant_retry;
mod max_age;
mod max_deliveries;
#[cfg(feature = "metrics")]
mod metrics;
mod peak_memory;
mod reply_errors;
mod retry;
mod timeout;
mod trace;

pub use self::any::AnyLayer;
use super::read::{FromValue, Options, Value};
use super::registry::{Refusal, Registry};

/// Options of a layer, as a worker's `layers` in a file have them.
///
/// ```
/// use std::time::Duration;
/// use swarrot::config::{AnyLayer, LayerOptions, Loader, Refusal, options};
/// use swarrot::layer::Timeout;
///
/// options! {
///     /// At most so many seconds.
///     struct Hurry {
///         /// How many.
///         seconds: u32,
///     }
/// }
///
/// impl LayerOptions for Hurry {
///     const LAYER: &'static str = "hurry";
///
///     fn build(self) -> Result<AnyLayer, Refusal> {
///         if self.seconds == 0 {
///             return Err(Refusal::at("seconds", "no handler is that fast; give it one second or more"));
///         }
///         Ok(AnyLayer::new(Timeout::new(Duration::from_secs(self.seconds.into()))))
///     }
/// }
///
/// let text = r#"
///     brokers.main = "memory://"
///     [workers.mails]
///     queue = "mails"
///     layers = [{ layer = "hurry", seconds = 0 }]
/// "#;
/// let error = Loader::new().layer::<Hurry>().parse(text).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 5, column 44: no handler is that fast; give it one second or more",
/// );
/// ```
pub trait LayerOptions: Options {
    /// The layer's name in the file.
    const LAYER: &'static str;

    /// Makes the layer, once for each place in the file.
    ///
    /// # Errors
    /// What is wrong with the options and what to do.
    fn build(self) -> Result<AnyLayer, Refusal>;
}

/// Those of this crate in the order in which they belong, from the outside in.
pub(super) const ORDER: [&str; 10] = [
    "trace",
    "metrics",
    "peak_memory",
    "max_age",
    "max_deliveries",
    "deduplicate",
    "reply_errors",
    "retry",
    "instant_retry",
    "timeout",
];

/// Layers that a worker may have.
pub(super) type Layers = Registry<AnyLayer>;

/// Those of this crate.
impl Default for Layers {
    fn default() -> Self {
        let mut layers = Self::new("layer");
        layers.add_layer::<deduplicate::Deduplicate>();
        layers.add_layer::<instant_retry::InstantRetry>();
        layers.add_layer::<max_age::MaxAge>();
        layers.add_layer::<max_deliveries::MaxDeliveries>();
        #[cfg(feature = "metrics")]
        layers.add_layer::<metrics::Metrics>();
        #[cfg(not(feature = "metrics"))]
        layers.leave_out("metrics", "metrics");
        layers.add_layer::<peak_memory::PeakMemory>();
        layers.add_layer::<reply_errors::ReplyErrors>();
        layers.add_layer::<retry::Retry>();
        layers.add_layer::<timeout::Timeout>();
        layers.add_layer::<trace::Trace>();
        layers
    }
}

impl Layers {
    pub(super) fn add_layer<O: LayerOptions>(&mut self) {
        self.add(O::LAYER, O::build);
    }
}

/// A layer of a worker.
#[derive(Clone, Debug)]
pub(super) struct LayerEntry(pub(super) AnyLayer);

impl FromValue for LayerEntry {
    const EXPECTED: &'static str =
        "tables, each with the name of a layer, such as { layer = \"timeout\", limit = \"30s\" }";
    const KIND: &'static str = "table with a `layer` and its options";

    fn from_value(value: &Value<'_>) -> Option<Self> {
        value.reading().known.layers.read(value, Self::EXPECTED).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_has_a_place() {
        let known = Layers::default();
        let missing: Vec<_> = known.keys().filter(|(name, _)| !ORDER.contains(name)).map(|(name, _)| name).collect();
        assert_eq!(missing, [""; 0], "say where they belong, in ORDER");
    }
}
