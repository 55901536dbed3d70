//! What fuzz targets reach of this crate. It is there only with `--cfg fuzzing`, which `cargo fuzz` sets.

use lapin::BasicProperties;

use swarrot_core::{BrokerUrl, Message, Result};

use crate::config::{Config, FRAME_MAX};
use crate::connection::Guard;
use crate::convert;

/// What lapin is given of these bytes from a server, which come in pieces of this size.
///
/// # Panics
/// If `piece` is 0.
pub fn guarded(stream: &[u8], piece: usize) -> Vec<u8> {
    let (mut guard, mut given) = (Guard::default(), Vec::new());
    for bytes in stream.chunks(piece) {
        guard.feed(bytes);
        given.extend_from_slice(guard.ready());
        guard.take(guard.ready().len());
    }
    given
}

/// The message that a handler gets of what a queue of this name delivers.
pub fn received(queue: &str, properties: &BasicProperties, body: &[u8]) -> Message {
    convert::from_delivery(queue, properties, body.to_vec()).0
}

/// A message's properties and headers as they are published.
///
/// # Errors
/// If AMQP has no room for them.
pub fn sent(message: &Message) -> Result<BasicProperties> {
    convert::to_properties(message, FRAME_MAX as usize)
}

/// Reads a URL as [`AmqpBroker::connect`](crate::AmqpBroker::connect) does.
///
/// # Errors
/// As there.
pub fn check_url(url: &BrokerUrl) -> Result<()> {
    Config::parse(url).map(drop)
}
