//! `reply_errors`.

use super::super::read::options;
use super::super::registry::Refusal;
use super::{AnyLayer, LayerOptions};

options! {
    /// Sends an error to whoever waits for a reply, by the worker's own broker; then it goes on.
    pub(super) struct ReplyErrors {}
}

impl LayerOptions for ReplyErrors {
    const LAYER: &'static str = "reply_errors";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::publishing(swarrot_core::ReplyErrors::new))
    }
}
