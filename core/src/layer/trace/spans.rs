//! The spans, field by field, and how they end.

use tracing::Span;
use tracing::field::Empty;

use super::context::TraceContext;
use crate::contract::Outgoing;
use crate::delivery::Delivery;
use crate::layer::ending::Ending;

/// A span with the fields that only OpenTelemetry reads where it is built in: they would be noise in a log.
macro_rules! span {
    ($target:literal, $name:literal, $kind:literal, $destination:expr, $($fields:tt)*) => {{
        #[cfg(feature = "opentelemetry")]
        let span = tracing::info_span!(
            target: $target,
            $name,
            otel.name = %SpanName($name, $destination),
            otel.kind = $kind,
            messaging.destination.name = $destination,
            $($fields)*
        );
        #[cfg(not(feature = "opentelemetry"))]
        let span = tracing::info_span!(target: $target, $name, messaging.destination.name = $destination, $($fields)*);
        span
    }};
}

/// The span of a delivery.
pub(super) fn process(delivery: &Delivery, context: Option<&TraceContext<'_>>) -> Span {
    span!(
        "swarrot::process",
        "process",
        "consumer",
        Some(delivery.queue()),
        messaging.system = said(delivery.system()),
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.message.id = said(delivery.id()),
        messaging.message.conversation_id = delivery.message().properties.correlation_id.as_deref(),
        swarrot.attempt = delivery.attempt(),
        trace_id = context.map(|context| context.trace_id),
        parent_id = context.map(|context| context.parent_id),
        swarrot.outcome = Empty,
        error.type = Empty,
    )
}

/// The span of a publish: with the context that its one message carries, or of a batch whose messages have their own.
pub(super) fn publish(system: &'static str, destination: Option<&str>, batch: &[Outgoing]) -> Span {
    if let [only] = batch {
        let properties = &only.message.properties;
        return span!(
            "swarrot::publish",
            "publish",
            "producer",
            destination,
            messaging.system = said(system),
            messaging.operation.name = "publish",
            messaging.operation.type = "send",
            messaging.message.id = properties.message_id.as_deref(),
            messaging.message.conversation_id = properties.correlation_id.as_deref(),
            error.type = Empty,
        );
    }
    span!(
        "swarrot::publish",
        "publish",
        "client",
        destination,
        messaging.system = said(system),
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.batch.message_count = batch.len(),
        error.type = Empty,
    )
}

/// The span of one message of a batch.
#[cfg(feature = "opentelemetry")]
pub(super) fn create(system: &'static str, destination: Option<&str>, outgoing: &Outgoing) -> Span {
    let properties = &outgoing.message.properties;
    span!(
        "swarrot::publish",
        "create",
        "producer",
        destination,
        messaging.system = said(system),
        messaging.operation.name = "create",
        messaging.operation.type = "create",
        messaging.message.id = properties.message_id.as_deref(),
        messaging.message.conversation_id = properties.correlation_id.as_deref(),
    )
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `process mails`, and `process` alone where there is no one destination.
#[cfg(feature = "opentelemetry")]
struct SpanName<'a>(&'static str, Option<&'a str>);

#[cfg(feature = "opentelemetry")]
impl std::fmt::Display for SpanName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)?;
        self.1.map_or(Ok(()), |destination| write!(f, " {destination}"))
    }
}

/// Notes in a delivery's span how it ended, also where its future is dropped.
pub(super) struct Recorder<'a> {
    span: &'a Span,
    ended: bool,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(span: &'a Span) -> Self {
        Self { span, ended: span.is_disabled() }
    }

    /// The outcome comes last: whoever watches the span takes it for the end.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ended = true;
        if let Some(error) = ending.error {
            self.span.record("error.type", error);
        }
        self.span.record("swarrot.outcome", ending.outcome);
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Ending::unfinished());
        }
    }
}
