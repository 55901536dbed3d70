//! The handler's side.

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use super::handles::{ByDestination, ByError};
use super::names::{CONSUMED, Described, IN_FLIGHT, PROCESS, label};
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::layer::ending::Ending;
use crate::outcome::Outcome;

const OPERATION: &str = "process";

/// A handler whose deliveries are counted and timed by [`Metrics`](super::Metrics).
#[derive(Debug)]
pub struct MetricsHandler<H> {
    inner: H,
    figures: ByDestination<Figures>,
}

impl<H> MetricsHandler<H> {
    pub(super) fn new(inner: H, max_destinations: usize) -> Self {
        Described::process();
        Self { inner, figures: ByDestination::new(max_destinations) }
    }
}

impl<H: Handler> Handler for MetricsHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let system = delivery.system();
        let figures = self.figures.get(system, delivery.queue(), |queue| Figures::new(system, queue));
        let mut running = Running::start(figures);
        let result = self.inner.handle(delivery).await;
        running.ending = Some(Ending::of(&result));
        result
    }
}

/// The figures of one queue.
struct Figures {
    system: &'static str,
    queue: Arc<str>,
    consumed: Counter,
    in_flight: Gauge,
    durations: ByError<Histogram>,
}

impl Figures {
    fn new(system: &'static str, queue: &str) -> Self {
        let queue: Arc<str> = queue.into();
        let labels = [
            (label::SYSTEM, system.into()),
            (label::OPERATION, OPERATION.into()),
            (label::DESTINATION, metrics::SharedString::from(Arc::clone(&queue))),
        ];
        Self {
            system,
            consumed: counter!(CONSUMED, &labels),
            in_flight: gauge!(IN_FLIGHT, label::SYSTEM => system, label::DESTINATION => Arc::clone(&queue)),
            durations: ByError::new(histogram!(PROCESS, &labels)),
            queue,
        }
    }

    fn duration(&self, error: Option<&'static str>) -> Histogram {
        self.durations.get(error, |class| {
            histogram!(
                PROCESS,
                label::SYSTEM => self.system,
                label::OPERATION => OPERATION,
                label::DESTINATION => Arc::clone(&self.queue),
                label::ERROR => class
            )
        })
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// A delivery that is handled; counted as done when it is dropped, however that comes.
struct Running {
    figures: Arc<Figures>,
    since: Instant,
    ending: Option<Ending>,
}

impl Running {
    fn start(figures: Arc<Figures>) -> Self {
        figures.consumed.increment(1);
        figures.in_flight.increment(1.0);
        Self { figures, since: Instant::now(), ending: None }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ending = self.ending.unwrap_or_else(Ending::unfinished);
        self.figures.in_flight.decrement(1.0);
        self.figures.duration(ending.error).record(self.since.elapsed().as_secs_f64());
    }
}
