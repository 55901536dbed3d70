//! The translation of messages, by itself.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use swarrot::prelude::*;

use super::Options;
use crate::figures::Figures;
use crate::meter::Meter;

/// Ours into AMQP's properties.
pub(super) fn amqp_encode(o: &Options) -> Result<Figures> {
    let message = message(o);
    let properties = swarrot_amqp::bench::encode(&message)?;
    black_box(properties);
    Ok(time(o, || {
        black_box(swarrot_amqp::bench::encode(black_box(&message)).is_ok());
    }))
}

/// AMQP's properties into ours.
pub(super) fn amqp_decode(o: &Options) -> Result<Figures> {
    let properties = swarrot_amqp::bench::encode(&message(o))?;
    Ok(time(o, || {
        black_box(swarrot_amqp::bench::decode(black_box(&properties), Vec::new()));
    }))
}

/// Ours into the field of a stream's entry.
pub(super) fn redis_encode(o: &Options) -> Figures {
    let message = message(o);
    time(o, || {
        black_box(swarrot_redis::bench::encode(black_box(&message)));
    })
}

/// A stream's entry into ours.
pub(super) fn redis_decode(o: &Options) -> Result<Figures> {
    let message = message(o);
    let meta = Bytes::from(swarrot_redis::bench::encode(&message));
    let fields = [(Bytes::from("swarrot"), meta), (Bytes::from("body"), message.body.clone())];
    let queue: Arc<str> = "bench".into();
    swarrot_redis::bench::decode(&queue, "1700000000000-1", fields.to_vec()).context("an entry was not read")?;
    Ok(time(o, || {
        black_box(swarrot_redis::bench::decode(&queue, black_box("1700000000000-1"), fields.to_vec()));
    }))
}

/// With an id, a type, and two headers.
fn message(o: &Options) -> Message {
    Message::new(vec![b'x'; o.size])
        .id("01890a5d-ac96-774b-bcce-b302099a8057")
        .content_type("application/json")
        .header("trace", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("tries", 3_i64)
}

fn time(o: &Options, mut run: impl FnMut()) -> Figures {
    let meter = Meter::new(o.messages);
    meter.begin();
    for _ in 0..o.messages {
        run();
        meter.hit();
    }
    meter.figures()
}
