//! The handler's side.

use tracing::Instrument as _;

use super::context::{TraceContext, within};
use super::spans::{self, Recorder};
use super::{Trace, otel};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::layer::ending::Ending;
use crate::outcome::Outcome;

/// A handler whose deliveries have a span each, by [`Trace`].
#[derive(Clone, Debug)]
pub struct TraceHandler<H> {
    inner: H,
    trace: Trace,
}

impl<H> TraceHandler<H> {
    pub(super) fn new(inner: H, trace: Trace) -> Self {
        Self { inner, trace }
    }
}

impl<H: Handler> Handler for TraceHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let context = TraceContext::of(delivery.headers());
        let span = spans::process(&delivery, context.as_ref());
        otel::begin(&span, &delivery, context.as_ref(), self.trace);
        let carried = context.is_some().then(|| delivery.headers().clone());
        // Declared before the handler's future, so that it is dropped after it.
        let mut recorder = Recorder::new(&span);
        let result = within(carried, self.inner.handle(delivery)).instrument(span.clone()).await;
        if !span.is_disabled() {
            otel::end(&span, &result);
            recorder.end(Ending::of(&result));
        }
        result
    }
}
