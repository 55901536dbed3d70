//! The publisher's side.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{Counter, Histogram, SharedString, counter, histogram};
use tokio::time::Instant;

use super::handles::{ByDestination, ByError};
use super::names::{Described, OPERATION, SENT, label};
use crate::contract::{Capabilities, MessagePublisher, Outgoing};
use crate::error::Result;
use crate::layer::destination::{common_destination, destination};

const PUBLISH: &str = "publish";

/// A publisher whose messages are counted and whose publishes are timed by [`Metrics`](super::Metrics).
#[derive(Debug)]
pub struct MetricsPublisher {
    inner: Arc<dyn MessagePublisher>,
    figures: ByDestination<Figures>,
    /// Of batches that go to several destinations.
    mixed: Figures,
}

impl MetricsPublisher {
    pub(super) fn new(inner: Arc<dyn MessagePublisher>, max_destinations: usize) -> Self {
        Described::publish();
        let mixed = Figures::new(inner.capabilities().system, None);
        Self { inner, figures: ByDestination::new(max_destinations), mixed }
    }

    fn figures(&self, destination: &str) -> Arc<Figures> {
        let system = self.inner.capabilities().system;
        self.figures.get(system, destination, |destination| Figures::new(system, Some(destination)))
    }
}

#[async_trait]
impl MessagePublisher for MetricsPublisher {
    fn exchange(&self) -> &str {
        self.inner.exchange()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let mut publishing = Publishing { publisher: self, batch, since: Instant::now(), told: false };
        let results = self.inner.publish(batch).await;
        publishing.told = true;
        publishing.tell(|index| results.get(index)?.as_ref().err().map(|error| error.kind().as_str()));
        results
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// A publish under way. What it is dropped with may have been sent or not: it counts as cancelled.
struct Publishing<'a> {
    publisher: &'a MetricsPublisher,
    batch: &'a [Outgoing],
    since: Instant,
    told: bool,
}

impl Publishing<'_> {
    fn tell(&self, error: impl Fn(usize) -> Option<&'static str>) {
        let (exchange, took) = (self.publisher.inner.exchange(), self.since.elapsed());
        let first_error = (0..self.batch.len()).find_map(&error);
        match common_destination(exchange, self.batch) {
            Some(destination) => {
                let figures = self.publisher.figures(destination);
                (0..self.batch.len()).for_each(|index| figures.sent(error(index)));
                figures.took(took, first_error);
            }
            None if self.batch.is_empty() => {}
            None => {
                for (index, outgoing) in self.batch.iter().enumerate() {
                    self.publisher.figures(destination(exchange, outgoing)).sent(error(index));
                }
                self.publisher.mixed.took(took, first_error);
            }
        }
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(|_| Some("cancelled"));
        }
    }
}

/// The figures of one destination.
struct Figures {
    system: &'static str,
    destination: Option<Arc<str>>,
    sent: ByError<Counter>,
    durations: ByError<Histogram>,
}

impl Figures {
    fn new(system: &'static str, destination: Option<&str>) -> Self {
        let destination: Option<Arc<str>> = destination.map(Into::into);
        let labels = labels(system, destination.as_ref(), None);
        let sent = if destination.is_some() { counter!(SENT, &labels) } else { Counter::noop() };
        let durations = ByError::new(histogram!(OPERATION, &with_type(labels)));
        Self { system, destination, sent: ByError::new(sent), durations }
    }

    fn sent(&self, error: Option<&'static str>) {
        let make = |class| counter!(SENT, &labels(self.system, self.destination.as_ref(), Some(class)));
        self.sent.get(error, make).increment(1);
    }

    fn took(&self, took: Duration, error: Option<&'static str>) {
        let make =
            |class| histogram!(OPERATION, &with_type(labels(self.system, self.destination.as_ref(), Some(class))));
        self.durations.get(error, make).record(took.as_secs_f64());
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("destination", &self.destination).finish_non_exhaustive()
    }
}

type Labels = Vec<(&'static str, SharedString)>;

fn labels(system: &'static str, destination: Option<&Arc<str>>, error: Option<&'static str>) -> Labels {
    let mut labels = vec![(label::SYSTEM, system.into()), (label::OPERATION, PUBLISH.into())];
    labels.extend(destination.map(|destination| (label::DESTINATION, Arc::clone(destination).into())));
    labels.extend(error.map(|class| (label::ERROR, class.into())));
    labels
}

fn with_type(mut labels: Labels) -> Labels {
    labels.push((label::OPERATION_TYPE, "send".into()));
    labels
}
