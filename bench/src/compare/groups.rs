//! What is compared with what.

use clap::ValueEnum;
use swarrot::topology::QueueKind;

use super::run::{Comparison, Side};
use super::servers::Place;
use super::table::Shape;

/// A set of comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Workers and publishers on RabbitMQ, beside lapin
    Amqp,
    /// Workers and publishers on Redis, beside redis-rs
    Redis,
    /// Workers and the embedded backend, beside channels
    Memory,
    /// Layers around a handler
    Layers,
    /// From publish to handler, beside the raw clients
    Latency,
    /// What prefetch, concurrency, batches and the runtime's flavour bring
    Advice,
    /// What waiting costs
    Idle,
}

impl Group {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Amqp, Self::Redis, Self::Memory, Self::Layers, Self::Latency, Self::Advice, Self::Idle];

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) fn comparisons(self) -> Vec<Comparison> {
        match self {
            Self::Amqp => amqp(),
            Self::Redis => redis(),
            Self::Memory => memory(),
            Self::Layers => vec![layers()],
            Self::Latency => latency(),
            Self::Advice => advice(),
            Self::Idle => idle(),
        }
    }
}

const CLASSIC: Place = Place::RabbitMq(QueueKind::Classic);
const QUORUM: Place = Place::RabbitMq(QueueKind::Quorum);

fn amqp() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (kind, place) in [("classic", CLASSIC), ("quorum", QUORUM)] {
        for (size, bytes) in [("200 B", 200), ("1 KiB", 1024)] {
            let worker = Side::new("worker", "worker");
            all.push(Comparison {
                title: format!("RabbitMQ, {kind} queue, {size}: receive, handle, ack"),
                shape: Shape::Throughput,
                place,
                filled: true,
                messages: 40_000,
                size: bytes,
                sides: vec![
                    worker.clone(),
                    Side::new("worker, Retry and Timeout", "worker-layers"),
                    Side::new("plain loop", "amqp-plain").with("--prefetch 100").reference().slow(4),
                    Side::new("tuned loop", "amqp-tuned").reference(),
                ],
            });
        }
    }
    for (kind, place) in [("classic", CLASSIC), ("quorum", QUORUM)] {
        for (size, bytes) in [("200 B", 200), ("1 KiB", 1024)] {
            all.push(Comparison {
                title: format!("RabbitMQ, {kind} queue, {size}: publish, confirmed, 256 at once"),
                shape: Shape::Throughput,
                place,
                filled: false,
                messages: 20_000,
                size: bytes,
                sides: vec![
                    Side::new("256 calls at once", "publish-each").with("--concurrency 256"),
                    Side::new("one call with 256", "publish-batch").with("--concurrency 256"),
                    Side::new("lapin", "amqp-publish").with("--concurrency 256").reference(),
                ],
            });
        }
    }
    all
}

fn redis() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (kind, place) in [("append-only file", Place::Redis), ("nothing written", Place::VolatileRedis)] {
        for (size, bytes) in [("200 B", 200), ("1 KiB", 1024)] {
            all.push(Comparison {
                title: format!("Redis, {kind}, {size}: receive, handle, ack"),
                shape: Shape::Throughput,
                place,
                filled: true,
                messages: 60_000,
                size: bytes,
                sides: vec![
                    Side::new("worker", "worker"),
                    Side::new("loop, one by one", "redis-each").reference().slow(12),
                    Side::new("tuned loop, keeps all", "redis-tuned").reference(),
                    Side::new("tuned loop, deletes", "redis-deleting").reference(),
                ],
            });
            all.push(Comparison {
                title: format!("Redis, {kind}, {size}: publish"),
                shape: Shape::Throughput,
                place,
                filled: false,
                messages: 60_000,
                size: bytes,
                sides: vec![
                    Side::new("100 calls at once", "publish-each").with("--concurrency 100"),
                    Side::new("one call with 100", "publish-batch").with("--concurrency 100"),
                    Side::new("one call with 1000", "publish-batch").with("--concurrency 1000"),
                    Side::new("100 XADD at once", "redis-publish-each").with("--concurrency 100").reference(),
                    Side::new("pipeline of 100", "redis-publish-batch").with("--concurrency 100").reference(),
                ],
            });
        }
    }
    all
}

fn memory() -> Vec<Comparison> {
    let comparison = |title: &str, messages, sides| Comparison {
        title: title.to_owned(),
        shape: Shape::Each,
        place: Place::Memory,
        filled: false,
        messages,
        size: 200,
        sides,
    };
    vec![
        comparison(
            "memory: receive, handle, ack",
            500_000,
            vec![
                Side::new("worker", "worker").with("--concurrency 100 --prefetch 0"),
                Side::new("worker, Retry and Timeout", "worker-layers").with("--concurrency 100 --prefetch 0"),
                Side::new("by hand", "provider").with("--concurrency 100 --prefetch 200").reference(),
            ],
        ),
        comparison(
            "memory: publish, receive, ack, in batches of 100",
            1_000_000,
            vec![
                Side::new("through dyn traits", "memory-cycle").with("--concurrency 100"),
                Side::new("tokio mpsc, no ack", "mpsc").reference(),
                Side::new("async-channel, no ack", "async-channel").reference(),
            ],
        ),
    ]
}

fn layers() -> Comparison {
    Comparison {
        title: "layers around a handler that does nothing".to_owned(),
        shape: Shape::Each,
        place: Place::Memory,
        filled: false,
        messages: 5_000_000,
        size: 200,
        sides: vec![
            Side::new("none", "layers").with("--parallelism 0").reference(),
            Side::new("one", "layers").with("--parallelism 1"),
            Side::new("ten", "layers").with("--parallelism 10"),
            Side::new("Retry and Timeout", "layers-ours"),
        ],
    }
}

fn latency() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (broker, place, raw) in [("RabbitMQ", QUORUM, "latency-amqp"), ("Redis", Place::Redis, "latency-redis")] {
        for (rate, messages) in [(50, 300), (1000, 4000)] {
            let options = format!("--rate {rate}");
            all.push(Comparison {
                title: format!("{broker}: from publish to handler at {rate} a second"),
                shape: Shape::Latency,
                place,
                filled: false,
                messages,
                size: 200,
                sides: vec![
                    Side::new("worker", "latency-worker").with(&options),
                    Side::new("raw client", raw).with(&options).reference(),
                ],
            });
        }
    }
    all
}

fn advice() -> Vec<Comparison> {
    let worker = |label: &str, options: &str| Side::new(label, "worker").with(options);
    let mut all = Vec::new();
    let places = [("RabbitMQ, classic", CLASSIC), ("RabbitMQ, quorum", QUORUM), ("Redis", Place::Redis)];
    for (broker, place) in places {
        let comparison = |what: &str, sides| Comparison {
            title: format!("{broker}: {what}"),
            shape: Shape::Throughput,
            place,
            filled: true,
            messages: 20_000,
            size: 200,
            sides,
        };
        all.push(comparison(
            "concurrency, with the prefetch that follows it",
            vec![
                worker("1", "--concurrency 1 --prefetch 0").slow(4),
                worker("10", "--concurrency 10 --prefetch 0").slow(2),
                worker("100", "--concurrency 100 --prefetch 0").reference(),
                worker("1000", "--concurrency 1000 --prefetch 0"),
            ],
        ));
        all.push(comparison(
            "prefetch, with a concurrency of 1",
            vec![
                worker("2", "--concurrency 1 --prefetch 2").slow(4),
                worker("10", "--concurrency 1 --prefetch 10"),
                worker("100", "--concurrency 1 --prefetch 100").reference(),
                worker("1000", "--concurrency 1 --prefetch 1000"),
            ],
        ));
        all.push(comparison(
            "runtime and loops",
            vec![
                worker("several threads", "").reference(),
                worker("one thread", "--current-thread"),
                worker("run in main", "--in-main"),
                worker("parallelism 2", "--parallelism 2"),
            ],
        ));
    }
    all
}

fn idle() -> Vec<Comparison> {
    let comparison = |title: &str, place, sides| Comparison {
        title: format!("{title}: a worker on an empty queue, for each second"),
        shape: Shape::Idle,
        place,
        filled: false,
        messages: 1,
        size: 200,
        sides,
    };
    let worker = || Side::new("worker", "idle-worker").with("--rate 20");
    vec![
        comparison("RabbitMQ", QUORUM, vec![worker(), Side::new("lapin", "idle-amqp").with("--rate 20").reference()]),
        comparison("Redis", Place::Redis, vec![worker()]),
        comparison("memory", Place::Memory, vec![worker()]),
    ]
}
