//! The translation of messages, for the benchmarks of this repository.

use lapin::BasicProperties;
use swarrot_core::{Message, Result};

use crate::config::FRAME_MAX;
use crate::convert::{from_delivery, to_properties};

/// What is sent of a message beside its body.
///
/// # Errors
/// If the message does not fit.
pub fn encode(message: &Message) -> Result<BasicProperties> {
    to_properties(message, FRAME_MAX as usize)
}

/// A message as it arrives from a queue.
pub fn decode(properties: &BasicProperties, body: Vec<u8>) -> Message {
    from_delivery("bench", properties, body).0
}
