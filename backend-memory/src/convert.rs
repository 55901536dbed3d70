//! Between entries of the model and what handlers see.

use std::sync::Arc;

use swarrot_core::{Delivery, Receipt};

use crate::config::SYSTEM;
use crate::state::Entry;

/// The delivery of an entry under this tag, a number that no other delivery of the broker has: so a receipt of an
/// earlier delivery of the same message is never taken for this one.
pub(crate) fn delivery(queue: &Arc<str>, entry: &Entry, tag: u64) -> Delivery {
    Delivery::new(Arc::clone(queue), Receipt::new(tag, entry.sequence), Arc::clone(&entry.message))
        .with_system(SYSTEM)
        .routed(Arc::clone(&entry.exchange), Arc::clone(&entry.routing_key))
        .delivered(entry.redelivered, Some(entry.deliveries))
}
