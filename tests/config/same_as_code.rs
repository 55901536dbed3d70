//! A worker from a file and one that is built in code behave alike.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::config::Config;
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
