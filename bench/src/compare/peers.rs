//! Other libraries beside swarrot.
//!
//! All are asked for the same: durable messages, in a broker before the call returns, and acknowledgements behind the handler. What
//! a library cannot be asked for stands with its side, and in the tables.

use super::groups::{CLASSIC, QUORUM, SIZES};
use super::run::{Comparison, Side};
use super::servers::Place;
use super::table::Shape;

pub(super) fn peers() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (kind, place) in [("classic", CLASSIC), ("quorum", QUORUM)] {
        for (size, bytes, part) in SIZES {
            let compare = |what: &str, messages: u64, sides| {
                let title = format!("RabbitMQ, {kind} queue, {size}: {what}");
                Comparison::new(title, Shape::Peers, place, messages / part, sides).size(bytes)
            };
            all.push(compare("receive, handle, ack", 24_000, amqp_consumers(place)).filled());
            all.push(compare("publish", 16_000, amqp_publishers(place)));
        }
    }
    for (size, bytes, _) in SIZES {
        let compare = |what: &str, sides| {
            let title = format!("Redis, append-only file, {size}: {what}");
            Comparison::new(title, Shape::Peers, Place::Redis, 56_000, sides).size(bytes)
        };
        all.push(compare("receive, handle, ack", redis_consumers()).filled());
        all.push(compare("publish", redis_publishers()));
    }
    all
}

fn amqp_consumers(place: Place) -> Vec<Side> {
    let mut sides = vec![
        Side::new("swarrot", "worker").reference(),
        Side::peer("omniqueue", "omniqueue-amqp", "no worker: a loop"),
        Side::peer("apalis", "apalis-amqp", "its worker panics unless it has pushed before"),
        Side::peer("ruststream", "ruststream-amqp", ""),
    ];
    if place == CLASSIC {
        // It makes its queue itself, which is a classic one.
        let but = "no prefetch: each consumer is sent the whole queue";
        sides.push(Side::peer("broccoli_queue", "broccoli-amqp", but).with("--concurrency 10").slow(80));
    }
    sides
}

fn amqp_publishers(place: Place) -> Vec<Side> {
    let mut sides = vec![
        Side::new("swarrot", "publish-each").reference(),
        Side::peer("omniqueue", "omniqueue-amqp-publish", "no confirm"),
        Side::peer("apalis", "apalis-amqp-publish", "no confirm; transient by default").slow(8),
        Side::peer("ruststream", "ruststream-amqp-publish", "no confirm by default; unroutable is no error"),
    ];
    if place == CLASSIC {
        sides.push(Side::peer("broccoli_queue", "broccoli-amqp-publish", "no confirm").slow(8));
    }
    sides.into_iter().map(|side| side.with("--concurrency 256")).collect()
}

fn redis_consumers() -> Vec<Side> {
    let kept = "keeps what is done; a second subscription takes over from the dead";
    let sides = vec![
        Side::new("swarrot", "worker").reference(),
        Side::peer("omniqueue", "omniqueue-redis", "no worker: a loop").slow(2),
        // That is as many as its script can take at once.
        Side::peer("apalis", "apalis-redis", "keeps what is done; fails with 8,000 due jobs").slow(8),
        Side::peer("broccoli_queue", "broccoli-redis", "nothing takes over from the dead").slow(2),
        Side::peer("sea-streamer", "sea-streamer-redis", "no worker: a loop; keeps what is done"),
        Side::peer("ruststream", "ruststream-redis", kept),
        Side::peer("ruststream, pipeline", "ruststream-redis-pipeline", kept),
    ];
    sides.into_iter().map(|side| side.with("--concurrency 1000 --prefetch 2000")).collect()
}

fn redis_publishers() -> Vec<Side> {
    let sides = vec![
        Side::new("swarrot", "publish-each").reference(),
        Side::peer("omniqueue", "omniqueue-redis-publish", ""),
        Side::peer("apalis", "apalis-redis-publish", ""),
        Side::peer("broccoli_queue", "broccoli-redis-publish", "in two steps"),
        Side::peer("sea-streamer", "sea-streamer-redis-publish", ""),
        Side::peer("ruststream", "ruststream-redis-publish", ""),
    ];
    sides.into_iter().map(|side| side.with("--concurrency 100")).collect()
}
