//! The handler's side.

use tracing::{Instrument as _, Span};

use super::Trace;
use super::context::{TraceContext, within};
use super::spans::{self, Recorder};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::layer::ending::Ending;
use crate::outcome::Outcome;

/// A handler whose deliveries have a span each, by [`Trace`].
#[derive(Clone, Debug)]
pub struct TraceHandler<H> {
    inner: H,
    #[cfg_attr(not(feature = "opentelemetry"), expect(dead_code, reason = "all its options are OpenTelemetry's"))]
    trace: Trace,
}

impl<H> TraceHandler<H> {
    pub(super) fn new(inner: H, trace: Trace) -> Self {
        Self { inner, trace }
    }

    /// The delivery's span, with its place in the trace.
    fn span(&self, delivery: &Delivery, context: Option<&TraceContext<'_>>) -> Span {
        #[cfg(feature = "opentelemetry")]
        {
            let child = self.trace.child && context.is_some() && Span::current().is_none();
            let span = spans::process(delivery, context);
            super::otel::begin(&span, delivery, context, child);
            span
        }
        #[cfg(not(feature = "opentelemetry"))]
        spans::process(delivery, context)
    }
}

impl<H: Handler> Handler for TraceHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let context = TraceContext::of(delivery.headers());
        let span = self.span(&delivery, context.as_ref());
        let carried = context.is_some().then(|| delivery.headers().clone());
        // Declared before the handler's future, so that it is dropped after it.
        let mut recorder = Recorder::new(&span);
        let result = within(carried, self.inner.handle(delivery)).instrument(span.clone()).await;
        if !span.is_disabled() {
            #[cfg(feature = "opentelemetry")]
            super::otel::end(&span, &result);
            recorder.end(Ending::of(&result));
        }
        result
    }
}
