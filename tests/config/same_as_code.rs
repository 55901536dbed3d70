//! A worker from a file and one that is built in code behave alike.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::config::Config;
use swarrot::gate::{KillSwitch, RateLimit};
use swarrot::layer::{InstantRetry, MaxAge, MaxDeliveries, PeakMemory};
use swarrot::prelude::*;
use swarrot::{Counts, Report, StopReason, WorkerError};
use tokio::time::Instant;

/// What happened: each call of the handler with its time in milliseconds, what is parked and why, what is left, the report.
#[derive(Debug, PartialEq)]
struct Story {
    calls: Vec<(u128, String, u32)>,
    parked: Vec<(String, String)>,
    left: u64,
    counts: Counts,
    stopped: String,
    elapsed: Duration,
}

#[derive(Clone)]
struct Notes {
    start: Instant,
    calls: Arc<Mutex<Vec<(u128, String, u32)>>>,
}

/// Bodies tell what to do.
async fn handle(State(notes): State<Notes>, body: String, Attempt(attempt): Attempt) -> Result<Outcome, BoxError> {
    notes.calls.lock().unwrap().push((notes.start.elapsed().as_millis(), body.clone(), attempt));
    match body.as_str() {
        "slow" => tokio::time::sleep(Duration::from_secs(3600)).await,
        "busy" => return Err("the mail server is busy".into()),
        "wrong" => return Err(Permanent::new("no such address").into()),
        "later" if attempt == 1 => return Ok(Outcome::retry(Duration::from_secs(5))),
        "panic" => panic!("out of paper"),
        _ => tokio::time::sleep(Duration::from_millis(100)).await,
    }
    Ok(Outcome::Ack)
}

/// Runs a worker on a broker with these messages.
async fn story<F, R>(broker: Arc<dyn Broker>, bodies: &[&str], run: F) -> Story
where
    F: FnOnce(Arc<dyn Broker>, Notes) -> R,
    R: Future<Output = Result<Report, WorkerError>>,
{
    let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
    for body in bodies {
        publisher.publish_one(Outgoing::new("mails", Message::new((*body).to_owned()))).await.unwrap();
    }
    let notes = Notes { start: Instant::now(), calls: Arc::default() };
    let result = run(Arc::clone(&broker), notes.clone()).await;
    let report = result.unwrap_or_else(|error| error.report().expect("it started").clone());

    let dead = broker.provider("mails.dead", ProviderOptions::default()).await.unwrap();
    let parked = dead.receive(NonZeroUsize::new(100).unwrap(), Duration::ZERO).await.unwrap();
    let parked = parked.iter().map(|parked| {
        let reason = parked.message().failure().and_then(|failure| failure.reason).unwrap_or_default();
        (String::from_utf8(parked.body().to_vec()).unwrap(), reason)
    });
    let stats = broker.stats("mails").await.unwrap();
    Story {
        calls: std::mem::take(&mut notes.calls.lock().unwrap()),
        parked: parked.collect(),
        left: stats.ready + stats.delayed.unwrap_or(0),
        counts: report.counts,
        stopped: report.stopped.to_string(),
        elapsed: report.elapsed,
    }
}

/// The story of a worker from a file with these lines.
async fn from_file(lines: &str, bodies: &[&str]) -> Story {
    let text = format!(
        "brokers.main = \"memory://\"\n[topology.main.queues.mails]\n[workers.mails]\nqueue = \"mails\"\n{lines}"
    );
    let config = Config::parse(text).unwrap();
    config.declare("main").await.unwrap();
    let broker = config.connect("main").await.unwrap();
    let run = |_, notes| async move { config.worker("mails").await.unwrap().state(notes).run(handle).await };
    story(broker, bodies, run).await
}

/// The story of a worker that is built in code.
async fn in_code<F, R>(bodies: &[&str], run: F) -> Story
where
    F: FnOnce(Worker, Notes) -> R,
    R: Future<Output = Result<Report, WorkerError>>,
{
    let broker = swarrot::connect("memory://").await.unwrap();
    broker.declare(&Topology::new().queue(Queue::new("mails"))).await.unwrap();
    let run = |broker: Arc<dyn Broker>, notes| async move {
        run(Worker::new(broker.provider("mails", ProviderOptions::default()).await.unwrap()), notes).await
    };
    story(broker, bodies, run).await
}

const ALL: [&str; 8] = ["a", "slow", "busy", "wrong", "later", "panic", "b", "busy"];

#[tokio::test(start_paused = true)]
async fn layers_and_limits() {
    let lines = r#"
        concurrency = 4
        max_time = "2h"
        signals = false
        layers = [
            { layer = "retry", exponential = { first = "30s", max = "2m" }, attempts = 4 },
            { layer = "timeout", limit = "10s" },
        ]
    "#;
    let file = from_file(lines, &ALL).await;
    let code = in_code(&ALL, |worker, notes| {
        worker
            .concurrency(4)
            .max_time(Duration::from_secs(7200))
            .signals_off()
            .layer(Retry::exponential(Duration::from_secs(30), Duration::from_secs(120)).attempts(4))
            .layer(Timeout::new(Duration::from_secs(10)))
            .state(notes)
            .run(handle)
    });
    let code = code.await;
    assert_eq!(file, code);
    // It is a story worth comparing.
    assert_eq!(file.parked.len(), 5, "{file:?}");
    assert_eq!(file.stopped, StopReason::MaxTime.to_string());
    let busy: Vec<_> = file.calls.iter().filter(|(_, body, _)| body == "busy").map(|(at, ..)| at / 1000).collect();
    assert_eq!(busy, [0, 0, 30, 30, 90, 90, 210, 210]);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_layers() {
    // Within the timeout: it ends the sleep of one attempt, not that of all of them.
    let lines = r#"
        max_time = "1h"
        signals = false
        layers = [
            { layer = "timeout", limit = "10s" },
            { layer = "retry", list = ["1s"] },
        ]
    "#;
    let file = from_file(lines, &["slow", "busy"]).await;
    let code = in_code(&["slow", "busy"], |worker, notes| {
        worker
            .max_time(Duration::from_secs(3600))
            .signals_off()
            .layer(Timeout::new(Duration::from_secs(10)))
            .layer(Retry::list([Duration::from_secs(1)]))
            .state(notes)
            .run(handle)
    });
    assert_eq!(file, code.await);
    // The timeout is outside of the retry here, which so never sees it.
    assert_eq!(file.parked[0], ("slow".to_owned(), "the handler took longer than 10s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn no_layers() {
    let lines = "stop_when_empty = true\nmax_messages = 5\ndeadline = \"1s\"\nparallelism = 1\nsignals = false";
    let bodies = ["a", "wrong", "busy", "b", "panic", "c"];
    let file = from_file(lines, &bodies).await;
    let code = in_code(&bodies, |worker, notes| {
        worker.stop_when_empty().max_messages(5).deadline(Duration::from_secs(1)).signals_off().state(notes).run(handle)
    });
    assert_eq!(file, code.await);
    assert_eq!((file.left, file.parked.len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn the_other_switches() {
    let bodies = ["a", "busy", "b"];
    let lines = "stop_on_error = true\nsignals = false\nspawned = true\nprefetch = 1";
    let file = from_file(lines, &bodies).await;
    let code = in_code(&bodies, |worker, notes| {
        let one = std::num::NonZeroU16::MIN;
        worker.stop_on_error().signals_off().spawned().prefetch(one).state(notes).run(handle)
    });
    assert_eq!(file, code.await);
    assert_eq!(file.left, 1);

    let lines = "ack_before_handling = true\nsignals = false\nstop_when_empty = true\nlimits = { body = \"3 B\" }";
    let file = from_file(lines, &bodies).await;
    let code = in_code(&bodies, |worker, notes| {
        let mut limits = swarrot::Limits::default();
        limits.body = 3;
        worker.ack_before_handling().signals_off().stop_when_empty().limits(limits).state(notes).run(handle)
    });
    assert_eq!(file, code.await);
    assert_eq!(file.parked.len(), 1, "{file:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_of_all_kinds() {
    let lines = r#"
        concurrency = 4
        max_time = "3h"
        signals = false
        layers = [
            { layer = "peak_memory" },
            { layer = "max_age", limit = "1h" },
            { layer = "max_deliveries", limit = 3 },
            { layer = "retry", polynomial = true, attempts = 6, jitter = false, max_age = "1 day" },
            { layer = "instant_retry", attempts = 2, delay = "1s" },
            { layer = "timeout", limit = "10s" },
        ]
    "#;
    let file = from_file(lines, &ALL).await;
    let code = in_code(&ALL, |worker, notes| {
        worker
            .concurrency(4)
            .max_time(Duration::from_secs(3 * 3600))
            .signals_off()
            .layer(PeakMemory::new())
            .layer(MaxAge::new(Duration::from_secs(3600)))
            .layer(MaxDeliveries::new(3))
            .layer(Retry::polynomial().attempts(6).jitter_percent(0).max_age(Duration::from_secs(24 * 3600)))
            .layer(InstantRetry::new(2, Duration::from_secs(1)))
            .layer(Timeout::new(Duration::from_secs(10)))
            .state(notes)
            .run(handle)
    });
    assert_eq!(file, code.await);
    let busy: Vec<_> = file.calls.iter().filter(|(_, body, _)| body == "busy").map(|(at, ..)| at / 1000).collect();
    assert_eq!(busy, [0, 0, 1, 1, 16, 16, 17, 17, 33, 33, 34, 34], "two each time, after 15 s and 1⁴ + 15 s");
}

#[tokio::test(start_paused = true)]
async fn gates() {
    let lines = r#"
        max_time = "10m"
        signals = false
        gates = ["switch", "limit"]
        [gates.switch]
        gate = "kill_switch"
        failures = 2
        ratio = 0
        window = "1h"
        pause = "20s"
        max_pause = "1m"
        probes = 1
        [gates.limit]
        gate = "rate_limit"
        deliveries = 1
        per = "3s"
        burst = 2
    "#;
    let bodies = ["a", "b", "c", "busy", "busy", "d", "busy", "e", "f"];
    let file = from_file(lines, &bodies).await;
    let code = in_code(&bodies, |worker, notes| {
        let switch = KillSwitch::new().failures(2).ratio(0.0).window(Duration::from_secs(3600));
        worker
            .max_time(Duration::from_secs(600))
            .signals_off()
            .gate(switch.pause(Duration::from_secs(20)).max_pause(Duration::from_secs(60)).probes(1))
            .gate(RateLimit::per(1, Duration::from_secs(3)).burst(2))
            .state(notes)
            .run(handle)
    });
    assert_eq!(file, code.await);
    let times: Vec<_> = file.calls.iter().map(|(at, ..)| at / 1000).collect();
    assert!(times[2] >= 3 && times[5] >= times[4] + 20, "{times:?}");
    assert_eq!(file.calls.len(), bodies.len());
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_is_handled_once() {
    let config = Config::parse(
        r#"
        brokers.main = "memory://"
        topology.main.queues.mails = {}
        publishers.mail = { routing_key = "mails" }
        [workers.mails]
        queue = "mails"
        stop_when_empty = true
        signals = false
        layers = [{ layer = "deduplicate", capacity = 100, lease = "5s", keep = "1h", scope = "all", on_store_error = "3s" }]
        "#,
    )
    .unwrap();
    let handled: Arc<Mutex<u32>> = Arc::default();
    for _ in 0..2 {
        // The second worker is of the same place in the file, and remembers what the first one did.
        config.publish("mail", Message::new("x").id("same")).await.unwrap();
        let count = |State(handled): State<Arc<Mutex<u32>>>| async move { *handled.lock().unwrap() += 1 };
        let report = config.worker("mails").await.unwrap().state(Arc::clone(&handled)).run(count).await.unwrap();
        assert_eq!(report.counts.acked, 1);
    }
    assert_eq!(*handled.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn workers_of_a_supervisor_are_restarted_as_the_file_says() {
    let config = Config::parse(
        r#"
        brokers.main = "memory://"
        topology.main.queues.mails = {}
        publishers.mail = { routing_key = "mails" }
        workers.mails = { queue = "mails", stop_on_error = true }
        [supervisor]
        backoff = "10s"
        max_backoff = "20s"
        healthy_after = "1h"
        signals = false
        max_restarts = { restarts = 3, within = "1 day" }
        "#,
    )
    .unwrap();
    for _ in 0..10 {
        config.publish("mail", Message::new("busy")).await.unwrap();
    }
    let notes = Notes { start: Instant::now(), calls: Arc::default() };
    let (workers, seen) = (config.clone(), notes.clone());
    let supervisor = config.supervisor().worker("mails", move || {
        let (config, notes) = (workers.clone(), seen.clone());
        async move { Ok::<_, swarrot::Error>(config.worker("mails").await?.state(notes).ready(handle)) }
    });
    let error = supervisor.run().await.expect_err("it gives up");
    assert_eq!(error.worker(), Some("mails"));
    let times: Vec<_> = notes.calls.lock().unwrap().iter().map(|(at, ..)| *at).collect();
    assert_eq!(times.len(), 4, "{times:?}");
    assert!(notes.start.elapsed() <= Duration::from_secs(10 + 20 + 20), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_have_further_layers() {
    let config = Config::parse(
        "brokers.main = \"memory://\"\ntopology.main.queues.mails = {}\n\
         workers.mails = { queue = \"mails\", stop_when_empty = true, signals = false }",
    )
    .unwrap();
    let worker = config.worker("mails").await.unwrap().layer(Timeout::new(Duration::from_secs(1)));
    let report = worker.run(|| async {}).await.unwrap();
    assert_eq!(report.stopped.to_string(), StopReason::Empty.to_string());
}

#[tokio::test(start_paused = true)]
async fn several_queues_are_served_by_priority() {
    for (queues, expected) in [
        ("[\"high\", \"low\"]", ["h", "h", "h", "l", "l", "l"]),
        ("[\"low\", \"high\"]", ["l", "l", "l", "h", "h", "h"]),
        ("{ high = 1, low = 1 }", ["h", "l", "h", "l", "h", "l"]),
    ] {
        let config = Config::parse(format!(
            "brokers.main = \"memory://\"\ntopology.main.queues = {{ high = {{}}, low = {{}} }}\n\
             publishers = {{ high = {{ routing_key = \"high\" }}, low = {{ routing_key = \"low\" }} }}\n\
             workers.all = {{ queues = {queues}, stop_when_empty = true, signals = false, prefetch = 1 }}"
        ))
        .unwrap();
        for (to, body) in [("low", "l"), ("low", "l"), ("low", "l"), ("high", "h"), ("high", "h"), ("high", "h")] {
            config.publish(to, Message::new(body)).await.unwrap();
        }
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = |State(seen): State<Arc<Mutex<Vec<String>>>>, body: String| async move {
            seen.lock().unwrap().push(body);
        };
        config.worker("all").await.unwrap().state(Arc::clone(&seen)).run(note).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), expected, "{queues}");
        assert_eq!(config.queues("all").unwrap().len(), 2);
    }
}
