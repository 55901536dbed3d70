//! The publisher's side.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{Instrument as _, Level, Span, debug, enabled};

use super::context::hand_on;
use super::{Trace, otel, spans};
use crate::contract::{Capabilities, MessagePublisher, Outgoing};
use crate::error::Result;
use crate::layer::destination::common_destination;
use crate::message::names;

/// A publisher whose publishes have a span each, and whose messages carry its context, by [`Trace`].
#[derive(Debug)]
pub struct TracePublisher {
    inner: Arc<dyn MessagePublisher>,
    trace: Trace,
}

impl TracePublisher {
    pub(super) fn new(inner: Arc<dyn MessagePublisher>, trace: Trace) -> Self {
        Self { inner, trace }
    }

    /// Gives each message the context in which it was made, unless it has one.
    fn inject(&self, span: &Span, batch: &mut [Outgoing]) {
        if otel::inject(span, batch, &*self.inner, self.trace) {
            return;
        }
        for outgoing in batch.iter_mut().filter(|outgoing| !outgoing.message.headers.contains(names::TRACEPARENT)) {
            hand_on(&mut outgoing.message.headers);
        }
    }

    /// Tells of each message what became of it.
    fn tell(&self, batch: &[Outgoing], results: &[Result<()>]) {
        if !enabled!(target: "swarrot::publish", Level::DEBUG) {
            return;
        }
        let exchange = self.inner.exchange();
        for (outgoing, result) in batch.iter().zip(results) {
            let (routing_key, id) = (outgoing.routing_key.as_str(), outgoing.message.properties.message_id.as_deref());
            match result {
                Ok(()) => debug!(target: "swarrot::publish", exchange, routing_key, id, "published"),
                Err(error) => debug!(target: "swarrot::publish", exchange, routing_key, id, %error, "not published"),
            }
        }
    }
}

#[async_trait]
impl MessagePublisher for TracePublisher {
    fn exchange(&self) -> &str {
        self.inner.exchange()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let mut batch = batch.to_vec();
        // Now, so that the span knows the id.
        for outgoing in &mut batch {
            outgoing.message.ensure_id();
        }
        let destination = common_destination(self.inner.exchange(), &batch);
        let span = spans::publish(self.inner.capabilities().system, destination, &batch);
        self.inject(&span, &mut batch);
        let mut recorder = PublishRecorder(&span, false);
        let results = self.inner.publish(&batch).instrument(span.clone()).await;
        recorder.end(&results);
        span.in_scope(|| self.tell(&batch, &results));
        results
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Notes in a publish's span if it failed, also where its future is dropped: then nobody knows.
struct PublishRecorder<'a>(&'a Span, bool);

impl PublishRecorder<'_> {
    fn end(&mut self, results: &[Result<()>]) {
        self.1 = true;
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            self.0.record("error.type", error.kind().as_str());
            otel::failed(self.0, error);
        }
    }
}

impl Drop for PublishRecorder<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.record("error.type", "cancelled");
        }
    }
}
