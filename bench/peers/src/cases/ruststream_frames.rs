//! Bodies and handlers for ruststream, without a codec.

use ruststream::prelude::*;
use swarrot_bench::meter::Meter;

/// A body that comes.
#[derive(Deserialized)]
pub(super) struct Frame<'a>(&'a [u8]);

impl Frame<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A body that leaves.
#[derive(Clone, Outgoing, Serialized)]
pub(super) struct Body(pub(super) Vec<u8>);

/// Counts, and does nothing else.
pub(super) struct Hit(pub(super) &'static Meter);

impl<'p> Handle<Frame<'p>> for Hit {
    async fn handle(&self, frame: &Frame<'p>, (): &(), _: &mut Context<'_>) -> Result<(), HandlerOutcome> {
        if frame.is_empty() {
            return Err(HandlerOutcome::drop());
        }
        self.0.hit();
        Ok(())
    }
}
