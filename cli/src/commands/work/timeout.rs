//! A limit on the time of a command, which ends it in good order.

use std::time::Duration;

use swarrot::config::{AnyLayer, LayerOptions, Refusal, options};
use swarrot::{BoxError, Delivery, Handler, Outcome};
use tokio::time::Instant;
use tower_layer::Layer;

options! {
    /// Stops a command that takes longer: a SIGTERM for it and its children, and SIGKILL ten seconds later.
    pub(super) struct Timeout {
        /// The most that it may take.
        limit: Duration,
    }
}

/// In the place of the library's, which drops what runs: a command would be killed without a word.
impl LayerOptions for Timeout {
    const LAYER: &'static str = "timeout";

    fn build(self) -> Result<AnyLayer, Refusal> {
        if self.limit.is_zero() {
            return Err(Refusal::at("limit", "no command ends within no time; give it longer"));
        }
        Ok(AnyLayer::new(Limit(self.limit)))
    }
}

/// When a command has to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

impl Deadline {
    /// When the command for a delivery has to end, if there is a limit.
    pub(super) fn of(delivery: &Delivery) -> Option<Instant> {
        delivery.extension::<Self>().map(|deadline| deadline.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Limit(Duration);

impl<H> Layer<H> for Limit {
    type Service = Limited<H>;

    fn layer(&self, inner: H) -> Limited<H> {
        Limited { inner, limit: self.0 }
    }
}

#[derive(Debug)]
struct Limited<H> {
    inner: H,
    limit: Duration,
}

impl<H: Handler> Handler for Limited<H> {
    async fn handle(&self, mut delivery: Delivery) -> Result<Outcome, BoxError> {
        // A limit that is too long to be counted is none.
        if let Some(ours) = Instant::now().checked_add(self.limit) {
            let deadline = Deadline::of(&delivery).map_or(ours, |theirs| theirs.min(ours));
            delivery.insert_extension(Deadline(deadline));
        }
        self.inner.handle(delivery).await
    }
}
