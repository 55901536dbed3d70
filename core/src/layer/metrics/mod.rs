//! Figures of what is handled and published.

mod handles;
mod names;
mod process;
mod publish;

use std::num::NonZeroUsize;
use std::sync::Arc;

use tower_layer::Layer;

pub(crate) use self::names::{Described, label, worker};
pub use self::process::MetricsHandler;
pub use self::publish::MetricsPublisher;
use crate::contract::MessagePublisher;
use crate::handler::Handler;
use crate::publishing::PublisherLayer;

/// Figures of what is handled and published, through the facade [`metrics`](https://docs.rs/metrics), with the names and units
/// of OpenTelemetry's [semantic conventions for messaging,
/// 1.42.0](https://github.com/open-telemetry/semantic-conventions/tree/v1.42.0/docs/messaging).
///
/// It is a layer of both sides: around a handler, with [`Worker::layer`](crate::Worker::layer), and around a publisher, with
/// [`LayerPublisher::layer`](crate::publishing::LayerPublisher::layer). `docs/observability.md` lists the figures; those of
/// settling and of the connection come from the [`Worker`](crate::Worker) itself, without this layer.
///
/// Outside of a [`Retry`](super::Retry) it counts what becomes of a delivery (`error.type` is `retry` or `reject`), within it why
/// a handler failed (`timeout`, `panic`, …). It may stand in both places only if one of them is of no interest: the figures
/// are added up.
///
/// # Labels
/// The system, the operation, the destination and the class of error. A destination is a queue or an exchange, never a
/// routing key of one; beyond [`max_destinations`](Self::max_destinations) all are counted as `_OTHER`.
///
/// # Costs
/// Handles are looked up once for each destination; nothing is allocated for a delivery or a publish but by the recorder.
/// Install the recorder before the first message: handles are made for good, and those of no recorder count nothing.
///
/// ```
/// use swarrot_core::layer::Metrics;
/// use swarrot_core::publishing::{BlackholePublisher, LayerPublisher as _};
///
/// let publisher = BlackholePublisher::new("mails").layer(Metrics::new());
/// # drop(publisher);
/// // And on the other side: Worker::new(provider).layer(Metrics::new())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    max_destinations: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Figures for up to 100 destinations.
    pub const fn new() -> Self {
        Self { max_destinations: 100 }
    }

    /// Sets how many destinations have figures of their own, in this layer: 100, unless told otherwise.
    pub const fn max_destinations(mut self, destinations: NonZeroUsize) -> Self {
        self.max_destinations = destinations.get();
        self
    }
}

impl<H: Handler> Layer<H> for Metrics {
    type Service = MetricsHandler<H>;

    fn layer(&self, inner: H) -> MetricsHandler<H> {
        MetricsHandler::new(inner, self.max_destinations)
    }
}

impl PublisherLayer for Metrics {
    fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
        Arc::new(MetricsPublisher::new(inner, self.max_destinations))
    }
}
