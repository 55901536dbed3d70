//! What is compared with what.

use clap::ValueEnum;
use swarrot::topology::QueueKind;

use super::peers::peers;
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
    /// From the start of a process to its first message
    Startup,
    /// What waiting costs
    Idle,
    /// A million messages through one worker, and two million in a queue: takes a quarter of an hour
    Long,
    /// Other libraries on RabbitMQ and Redis, which are built for it
    Peers,
}

impl Group {
    /// All but the long one, and the one that needs another program.
    pub(crate) const USUAL: [Self; 8] =
        [Self::Amqp, Self::Redis, Self::Memory, Self::Layers, Self::Latency, Self::Advice, Self::Startup, Self::Idle];

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
            Self::Startup => startup(),
            Self::Idle => idle(),
            Self::Long => long(),
            Self::Peers => peers(),
        }
    }
}

pub(super) const CLASSIC: Place = Place::RabbitMq(QueueKind::Classic);
pub(super) const QUORUM: Place = Place::RabbitMq(QueueKind::Quorum);

/// Bodies, and by which part their number is less.
pub(super) const SIZES: [(&str, usize, u64); 2] = [("200 B", 200, 1), ("1 KiB", 1024, 2)];

fn amqp() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (kind, place) in [("classic", CLASSIC), ("quorum", QUORUM)] {
        for (size, bytes, part) in SIZES {
            let sides = vec![
                Side::new("worker", "worker"),
                Side::new("worker, Retry and Timeout", "worker-layers"),
                Side::new("plain loop", "amqp-plain").with("--prefetch 100").reference().slow(4),
                Side::new("tuned loop", "amqp-tuned").reference(),
            ];
            let title = format!("RabbitMQ, {kind} queue, {size}: receive, handle, ack");
            all.push(Comparison::new(title, Shape::Throughput, place, 24_000 / part, sides).size(bytes).filled());
        }
    }
    for (kind, place) in [("classic", CLASSIC), ("quorum", QUORUM)] {
        for (size, bytes, part) in SIZES {
            let sides = vec![
                Side::new("256 calls at once", "publish-each").with("--concurrency 256"),
                Side::new("one call with 256", "publish-batch").with("--concurrency 256"),
                Side::new("lapin, 256 at once", "amqp-publish").with("--concurrency 256").reference(),
            ];
            let title = format!("RabbitMQ, {kind} queue, {size}: publish, confirmed");
            all.push(Comparison::new(title, Shape::Throughput, place, 16_000 / part, sides).size(bytes));
        }
    }
    all
}

fn redis() -> Vec<Comparison> {
    let mut all = Vec::new();
    let places = [("append-only file", Place::Redis), ("nothing written", Place::VolatileRedis)];
    for (kind, place) in places {
        for (size, bytes, _) in SIZES {
            let sides = vec![
                Side::new("worker", "worker").with("--concurrency 1000 --prefetch 2000"),
                Side::new("loop, one by one", "redis-each").reference().slow(12),
                Side::new("tuned loop, keeps all", "redis-tuned").reference(),
                Side::new("tuned loop, deletes", "redis-deleting").reference(),
            ];
            let title = format!("Redis, {kind}, {size}: receive, handle, ack");
            all.push(Comparison::new(title, Shape::Throughput, place, 60_000, sides).size(bytes).filled());
        }
    }
    for (kind, place) in places {
        for (size, bytes, _) in SIZES {
            let sides = vec![
                Side::new("100 calls at once", "publish-each").with("--concurrency 100"),
                Side::new("one call with 100", "publish-batch").with("--concurrency 100"),
                Side::new("one call with 1000", "publish-batch").with("--concurrency 1000"),
                Side::new("100 XADD at once", "redis-publish-each").with("--concurrency 100").reference(),
                Side::new("pipeline of 100", "redis-publish-batch").with("--concurrency 100").reference(),
            ];
            let title = format!("Redis, {kind}, {size}: publish");
            all.push(Comparison::new(title, Shape::Throughput, place, 60_000, sides).size(bytes));
        }
    }
    all
}

fn memory() -> Vec<Comparison> {
    let comparison = |title, messages, sides| Comparison::new(title, Shape::Each, Place::Memory, messages, sides);
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
    let sides = vec![
        Side::new("none", "layers").with("--parallelism 0").reference(),
        Side::new("one", "layers").with("--parallelism 1"),
        Side::new("ten", "layers").with("--parallelism 10"),
        Side::new("Retry and Timeout", "layers-ours"),
    ];
    let title = "layers around a handler that does nothing";
    Comparison::new(title, Shape::Each, Place::Memory, 5_000_000, sides)
}

const LATENCY: [(&str, Place, &str, &str); 2] = [
    ("RabbitMQ", QUORUM, "latency-amqp", "lapin, pushed"),
    ("Redis", Place::Redis, "latency-redis", "redis-rs, blocking reads"),
];

fn latency() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (broker, place, raw, label) in LATENCY {
        for (rate, messages) in [(50, 150), (1000, 2000)] {
            let options = format!("--rate {rate}");
            let sides = vec![
                Side::new("worker", "latency-worker").with(&options),
                Side::new(label, raw).with(&options).reference(),
            ];
            let title = format!("{broker}: from publish to handler at {rate} a second");
            all.push(Comparison::new(title, Shape::Latency, place, messages, sides));
        }
    }
    all
}

fn advice() -> Vec<Comparison> {
    let worker = |label: &str, options: &str| Side::new(label, "worker").with(options);
    let mut all = Vec::new();
    let places = [("RabbitMQ, classic", CLASSIC), ("RabbitMQ, quorum", QUORUM), ("Redis", Place::Redis)];
    for (broker, place) in places {
        let mut compare = |what: &str, sides| {
            let title = format!("{broker}: {what}");
            all.push(Comparison::new(title, Shape::Throughput, place, 8_000, sides).filled().rounds(3));
        };
        compare(
            "concurrency, with the prefetch that follows it",
            vec![
                worker("1", "--concurrency 1 --prefetch 0").slow(4),
                worker("10", "--concurrency 10 --prefetch 0"),
                worker("100", "--concurrency 100 --prefetch 0").reference(),
                worker("1000", "--concurrency 1000 --prefetch 0"),
            ],
        );
        compare(
            "prefetch, with a concurrency of 1",
            vec![
                worker("2", "--concurrency 1 --prefetch 2").slow(4),
                worker("10", "--concurrency 1 --prefetch 10"),
                worker("100", "--concurrency 1 --prefetch 100").reference(),
                worker("1000", "--concurrency 1 --prefetch 1000"),
            ],
        );
        compare(
            "runtime and loops",
            vec![
                worker("several threads", "").reference(),
                worker("one thread", "--current-thread"),
                worker("run in main", "--in-main"),
                worker("parallelism 2", "--parallelism 2"),
            ],
        );
    }
    all
}

fn startup() -> Vec<Comparison> {
    let comparison = |broker: &str, place, raw, label| {
        let sides = vec![Side::new("worker", "startup-worker"), Side::new(label, raw).reference()];
        let title = format!("{broker}: from the start of the process to the first message handled");
        Comparison::new(title, Shape::Startup, place, 1, sides).filled()
    };
    vec![
        comparison("RabbitMQ", QUORUM, "startup-amqp", "lapin"),
        comparison("Redis", Place::Redis, "startup-redis", "redis-rs"),
    ]
}

fn idle() -> Vec<Comparison> {
    let comparison = |broker: &str, place, raw: Option<(&str, &'static str)>| {
        let mut sides = vec![Side::new("worker", "idle-worker").with("--rate 60")];
        sides.extend(raw.map(|(label, case)| Side::new(label, case).with("--rate 60").reference()));
        let title = format!("{broker}: an empty queue, for each second of a minute");
        Comparison::new(title, Shape::Idle, place, 1, sides)
    };
    vec![
        comparison("RabbitMQ", QUORUM, Some(("lapin", "idle-amqp"))),
        comparison("Redis", Place::Redis, Some(("redis-rs", "idle-redis"))),
        comparison("memory", Place::Memory, None),
    ]
}

fn long() -> Vec<Comparison> {
    let mut all = Vec::new();
    for (broker, place) in [("RabbitMQ, classic", CLASSIC), ("Redis", Place::Redis)] {
        let worker = |label: &str| Side::new(label, "worker");
        let sides = vec![worker("10,000").slow(100), worker("100,000").slow(10), worker("1,000,000").reference()];
        let title = format!("{broker}: so many messages through one worker");
        all.push(Comparison::new(title, Shape::Throughput, place, 1_000_000, sides).filled().rounds(1));
        let sides = vec![worker("none").reference(), worker("2,000,000").behind(2_000_000)];
        let title = format!("{broker}: messages standing in the queue behind those that are handled");
        all.push(Comparison::new(title, Shape::Throughput, place, 40_000, sides).filled().rounds(1));
    }
    all
}
