//! The translation of messages, for the benchmarks of this repository.

use std::sync::Arc;

use bytes::Bytes;
use swarrot_core::{Delivery, Message, Receipt};

use crate::convert::{self, Entry};

/// What is written of a message beside its body.
pub fn encode(message: &Message) -> Vec<u8> {
    convert::encode(message, None)
}

/// A delivery as it is read from a stream; `None` if the id is not one.
pub fn decode(queue: &Arc<str>, id: &str, fields: Vec<(Bytes, Bytes)>) -> Option<Delivery> {
    let entry = Entry::new(id.parse().ok()?, 1, fields);
    Some(entry.into_delivery(queue, Receipt::new(1, 1), false))
}
