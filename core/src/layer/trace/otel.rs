//! The contexts of OpenTelemetry's spans, through `tracing-opentelemetry`. Where the subscriber has no such layer, none of
//! it has an effect.

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Key};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context::TraceContext;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::message::{Headers, names};
use crate::outcome::{Outcome, Reason};

/// Gives a delivery's span its place: linked to the span that published it, and its child if told so.
pub(super) fn begin(span: &Span, delivery: &Delivery, context: Option<&TraceContext<'_>>, child: bool) {
    if span.is_disabled() {
        return;
    }
    // In the system's own namespace, as the conventions want it.
    if !delivery.system().is_empty() && !delivery.routing_key().is_empty() {
        let name = format!("messaging.{}.destination.routing_key", delivery.system());
        span.set_attribute(Key::from(name), delivery.routing_key().to_owned());
    }
    let Some(context) = context.and_then(remote) else { return };
    if child {
        // It fails only where there is no layer of OpenTelemetry's.
        let _ = span.set_parent(Context::new().with_remote_span_context(context.clone()));
    }
    span.add_link(context);
}

/// The context as OpenTelemetry knows it. A state that is malformed is left out, as the specification wants it.
fn remote(context: &TraceContext<'_>) -> Option<SpanContext> {
    let state = context.state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let trace_id = TraceId::from_hex(context.trace_id).ok()?;
    let span_id = SpanId::from_hex(context.parent_id).ok()?;
    Some(SpanContext::new(trace_id, span_id, TraceFlags::new(context.flags), true, state))
}

/// Notes why a delivery failed as the status of its span.
pub(super) fn end(span: &Span, result: &Result<Outcome, BoxError>) {
    let reason = match result {
        Err(error) => Reason::from_error(&**error),
        Ok(Outcome::Reject { reason } | Outcome::Retry { reason: Some(reason), .. }) => reason.clone(),
        Ok(Outcome::Retry { reason: None, .. } | Outcome::Requeue) => Reason::new(""),
        Ok(Outcome::Ack | Outcome::Release) => return,
    };
    span.set_status(Status::error(reason.as_str().to_owned()));
}

/// Notes that a publish failed.
pub(super) fn failed(span: &Span, error: &crate::Error) {
    span.set_status(Status::error(error.to_string()));
}

/// The context of a span, or of the one around it if the subscriber leaves this one out.
pub(super) fn context(span: &Span) -> Option<SpanContext> {
    let context = |span: &Span| Some(span.context().span().span_context().clone()).filter(SpanContext::is_valid);
    context(span).or_else(|| context(&Span::current()))
}

/// Writes a context into headers.
pub(super) fn inject(context: &SpanContext, headers: &mut Headers) {
    // Of the flags only the first is known to version 00.
    let flags = (context.trace_flags() & TraceFlags::SAMPLED).to_u8();
    let parent = format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    headers.insert(names::TRACEPARENT, parent);
    let state = context.trace_state().header();
    if !state.is_empty() {
        headers.insert(names::TRACESTATE, state);
    }
}

/// Links a publish to the context that one of its messages came with, or was created in.
pub(super) fn link(span: &Span, context: SpanContext) {
    span.add_link(context);
}

/// The context that a message came with.
pub(super) fn own(headers: &Headers) -> Option<SpanContext> {
    remote(&TraceContext::of(headers)?)
}
