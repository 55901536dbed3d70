//! What fuzz targets reach of this crate. It is there only with `--cfg fuzzing`, which `cargo fuzz` sets.

use bytes::Bytes;
use redis::Value as Reply;

use swarrot_core::{BrokerUrl, Delivery, Message, Receipt, Result};

use crate::config::Config;
use crate::convert::{self, Entry};

/// The deliveries that a provider makes of a script's answer; `None` if it is no such answer.
pub fn received(queue: &str, reply: Reply) -> Option<Vec<Delivery>> {
    Some(convert::parse_entries(reply)?.into_iter().map(|entry| delivery(queue, entry)).collect())
}

/// The delivery that a provider makes of an entry with these fields.
pub fn received_fields(queue: &str, fields: Vec<(Bytes, Bytes)>) -> Delivery {
    delivery(queue, Entry::new("1-0".parse().expect("an id"), 1, fields))
}

fn delivery(queue: &str, entry: Entry) -> Delivery {
    entry.into_delivery(&queue.into(), Receipt::new(1, 1), false)
}

/// The fields of a message that is published, with its exchange and routing key.
pub fn sent(message: &Message, route: (&str, &str)) -> Vec<(Bytes, Bytes)> {
    let meta = convert::encode(message, Some(route));
    vec![(Bytes::from_static(b"body"), message.body.clone()), (Bytes::from_static(b"swarrot"), meta.into())]
}

/// Reads a URL as [`RedisBroker::connect`](crate::RedisBroker::connect) does.
///
/// # Errors
/// As there.
pub fn check_url(url: &BrokerUrl) -> Result<()> {
    Config::parse(url).map(drop)
}
