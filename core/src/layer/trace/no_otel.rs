//! In the place of OpenTelemetry's contexts where they are not built in: nothing.

use tracing::Span;

use super::Trace;
use super::context::TraceContext;
use crate::contract::{MessagePublisher, Outgoing};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error};
use crate::outcome::Outcome;

pub(super) fn begin(_: &Span, _: &Delivery, _: Option<&TraceContext<'_>>, _: Trace) {}

pub(super) fn end(_: &Span, _: &Result<Outcome, BoxError>) {}

pub(super) fn failed(_: &Span, _: &Error) {}

pub(super) fn inject(_: &Span, _: &mut [Outgoing], _: &dyn MessagePublisher, _: Trace) -> bool {
    false
}
