//! Spans, and the trace that goes with a message from its publisher through all its attempts.

mod context;
#[cfg(feature = "opentelemetry")]
mod otel;
#[cfg(not(feature = "opentelemetry"))]
#[path = "no_otel.rs"]
mod otel;
mod process;
mod publish;
mod spans;

use std::sync::Arc;

use tower_layer::Layer;

pub use self::process::TraceHandler;
pub use self::publish::TracePublisher;
use crate::contract::MessagePublisher;
use crate::handler::Handler;
use crate::publishing::PublisherLayer;

/// One span for each delivery, and one for each publish, with the names of OpenTelemetry's [semantic conventions for
/// messaging, 1.42.0](https://github.com/open-telemetry/semantic-conventions/tree/v1.42.0/docs/messaging).
///
/// It is a layer of both sides: around a handler, with [`Worker::layer`](crate::Worker::layer), and around a publisher, with
/// [`LayerPublisher::layer`](crate::publishing::LayerPublisher::layer). Put it outermost, so that what other layers log is
/// within the span.
///
/// # The trace
/// The publisher writes the headers `traceparent` and `tracestate` ([W3C Trace Context](https://www.w3.org/TR/trace-context/)),
/// unless the message has them; the handler's side reads them. Retries, dead letters and what is redriven from them keep
/// their headers, so that every attempt belongs to the trace of the first publish.
///
/// With the feature `opentelemetry`, and a `tracing_opentelemetry` layer in the subscriber, each delivery's span is a child of
/// the span that published it, and linked to it. Where there is a span around the handler already, it is that one's child and
/// only linked, as the conventions advise; [`links_only`](Self::links_only) never makes it a child. Baggage is not carried.
///
/// Without, the ids become the fields `trace_id` and `parent_id` of the span, and what a handler publishes carries the
/// trace of its delivery on unchanged. Nothing invents a trace: a context that nobody records would tell the samplers of
/// others to leave it out.
///
/// # Spans
/// `swarrot::process` is the target of a delivery's span, `swarrot::publish` that of a publish and of the event at debug level
/// for each message; all spans are at info level. `docs/observability.md` lists the fields.
///
/// # Costs
/// Nothing is allocated for a delivery here; the subscriber does, for a span that it wants. A publish copies its batch,
/// since it adds headers.
///
/// ```
/// use swarrot_core::layer::Trace;
/// use swarrot_core::publishing::{BlackholePublisher, LayerPublisher as _};
///
/// let publisher = BlackholePublisher::new("mails").layer(Trace::new());
/// # drop(publisher);
/// // And on the other side: Worker::new(provider).layer(Trace::new())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    child: bool,
    creates: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Trace {
    /// Spans of deliveries are children of the spans that published them, and each message of a batch has a span of its own.
    pub const fn new() -> Self {
        Self { child: true, creates: true }
    }

    /// Begins a new trace with each delivery, linked to the one that published it: for traces that would stay open for hours,
    /// or that grow with each retry.
    pub const fn links_only(mut self) -> Self {
        self.child = false;
        self
    }

    /// Makes no span for each message of a batch; all of them carry the context of the batch's own span. One span less for
    /// each message, but the messages of a batch cannot be told apart by their parents.
    pub const fn without_create_spans(mut self) -> Self {
        self.creates = false;
        self
    }
}

impl<H: Handler> Layer<H> for Trace {
    type Service = TraceHandler<H>;

    fn layer(&self, inner: H) -> TraceHandler<H> {
        TraceHandler::new(inner, *self)
    }
}

impl PublisherLayer for Trace {
    fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
        Arc::new(TracePublisher::new(inner, *self))
    }
}
