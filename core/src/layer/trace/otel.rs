//! The contexts of OpenTelemetry's spans, through `tracing-opentelemetry`. Where the subscriber has no such layer, none of
//! it has an effect.

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Key};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::context::TraceContext;
use super::{Trace, spans};
use crate::contract::{MessagePublisher, Outgoing};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error};
use crate::layer::destination::destination;
use crate::message::{Headers, names};
use crate::outcome::{Outcome, Reason};

/// Gives a delivery's span its place: linked to the span that published it, and its child, unless it was told otherwise or
/// has a parent already.
pub(super) fn begin(span: &Span, delivery: &Delivery, context: Option<&TraceContext<'_>>, trace: Trace) {
    if span.is_disabled() {
        return;
    }
    // In the system's own namespace, as the conventions want it.
    if !delivery.system().is_empty() && !delivery.routing_key().is_empty() {
        let name = format!("messaging.{}.destination.routing_key", delivery.system());
        span.set_attribute(Key::from(name), delivery.routing_key().to_owned());
    }
    let Some(context) = context.and_then(remote) else { return };
    if trace.child && Span::current().is_none() {
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
pub(super) fn failed(span: &Span, error: &Error) {
    span.set_status(Status::error(error.to_string()));
}

/// Writes contexts into the headers of messages that have none, and links the publish to them. False if there is no
/// context at all.
pub(super) fn inject(span: &Span, batch: &mut [Outgoing], publisher: &dyn MessagePublisher, trace: Trace) -> bool {
    let Some(context) = context(span) else { return false };
    let (system, exchange) = (publisher.capabilities().system, publisher.exchange());
    let with_creates = trace.creates && batch.len() > 1;
    for outgoing in batch {
        let own = TraceContext::of(&outgoing.message.headers);
        if let Some(own) = own.as_ref().and_then(remote) {
            span.add_link(own);
        } else if with_creates {
            let create = spans::create(system, Some(destination(exchange, outgoing)), outgoing);
            let created = self::context(&create).unwrap_or_else(|| context.clone());
            write(&created, &mut outgoing.message.headers);
            span.add_link(created);
        } else {
            write(&context, &mut outgoing.message.headers);
        }
    }
    true
}

/// The context of a span, or of the one around it if the subscriber leaves this one out.
fn context(span: &Span) -> Option<SpanContext> {
    let context = |span: &Span| Some(span.context().span().span_context().clone()).filter(SpanContext::is_valid);
    context(span).or_else(|| context(&Span::current()))
}

fn write(context: &SpanContext, headers: &mut Headers) {
    // Of the flags only the first is known to version 00.
    let flags = (context.trace_flags() & TraceFlags::SAMPLED).to_u8();
    let parent = format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    headers.insert(names::TRACEPARENT, parent);
    // A state goes with its parent only.
    headers.remove(names::TRACESTATE);
    let state = context.trace_state().header();
    if !state.is_empty() {
        headers.insert(names::TRACESTATE, state);
    }
}
