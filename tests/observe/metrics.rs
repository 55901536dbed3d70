//! Figures, as a recorder gets them.

use std::collections::BTreeMap;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;

use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use opentelemetry_semantic_conventions::{attribute, metric};
use swarrot::Error;
use swarrot::layer::{Metrics, Retry, Timeout};
use swarrot::prelude::*;
use swarrot::publishing::{LayerPublisher as _, RecordingPublisher};
use tokio::time::sleep;

use crate::support::{Bench, DEAD, QUEUE, SECOND};

const IN_FLIGHT: &str = "swarrot.process.in_flight";

/// A recorder for this thread.
macro_rules! recorded {
    ($snapshotter:ident) => {
        let recorder = DebuggingRecorder::new();
        let $snapshotter = recorder.snapshotter();
        let _guard = metrics::set_default_local_recorder(&recorder);
    };
}

type Figures = BTreeMap<String, (Option<Unit>, DebugValue)>;

/// Figures by name and labels: `name{label=value,…}`, labels in order, without those that all of them have.
fn figures(snapshotter: &Snapshotter) -> Figures {
    let figures = snapshotter.snapshot().into_vec().into_iter().map(|(key, unit, description, value)| {
        let key = key.key();
        assert!(description.is_some(), "{key} is not described");
        let mut labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        labels.sort_unstable();
        let labels: Vec<_> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{}{{{}}}", key.name(), labels.join(",")), (unit, value))
    });
    figures.collect()
}

/// A figure of this name with these labels, in the order of their names.
fn named(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

fn count(figures: &Figures, name: &str, labels: &[(&str, &str)]) -> u64 {
    match figures.get(&named(name, labels)) {
        Some((_, DebugValue::Counter(count))) => *count,
        other => panic!("{name} {labels:?} is {other:?} in {:?}", figures.keys()),
    }
}

fn seconds(figures: &Figures, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    match figures.get(&named(name, labels)) {
        Some((Some(Unit::Seconds), DebugValue::Histogram(values))) => values.iter().map(|value| value.0).collect(),
        other => panic!("{name} {labels:?} is {other:?} in {:?}", figures.keys()),
    }
}

fn gauge(figures: &Figures) -> f64 {
    let labels = [(attribute::MESSAGING_DESTINATION_NAME, QUEUE), (attribute::MESSAGING_SYSTEM, "memory")];
    match figures.get(&named(IN_FLIGHT, &labels)) {
        Some((_, DebugValue::Gauge(value))) => value.0,
        other => panic!("{other:?}"),
    }
}

const PROCESS_LABELS: [(&str, &str); 3] = [
    (attribute::MESSAGING_DESTINATION_NAME, QUEUE),
    (attribute::MESSAGING_OPERATION_NAME, "process"),
    (attribute::MESSAGING_SYSTEM, "memory"),
];

fn failed(class: &str) -> Vec<(&str, &str)> {
    [(attribute::ERROR_TYPE, class)].into_iter().chain(PROCESS_LABELS).collect()
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_counted_and_timed_by_how_they_ended() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    for body in ["fine", "bad", "panic", "slow"] {
        bench.send(Message::new(body)).await;
    }
    let handler = async |body: String| {
        match body.as_str() {
            "bad" => return Err("no"),
            "panic" => panic!("boom"),
            "slow" => pending::<()>().await,
            _ => sleep(SECOND).await,
        }
        Ok(())
    };
    let worker = bench.worker().await.layer(Metrics::new()).layer(Timeout::new(3 * SECOND)).max_messages(4);
    worker.run(handler).await.unwrap();
    let figures = figures(&snapshotter);
    assert_eq!(count(&figures, metric::MESSAGING_CLIENT_CONSUMED_MESSAGES, &PROCESS_LABELS), 4);
    assert_eq!(seconds(&figures, metric::MESSAGING_PROCESS_DURATION, &PROCESS_LABELS), [1.0]);
    assert_eq!(seconds(&figures, metric::MESSAGING_PROCESS_DURATION, &failed("_OTHER")), [0.0]);
    assert_eq!(seconds(&figures, metric::MESSAGING_PROCESS_DURATION, &failed("panic")), [0.0]);
    assert_eq!(seconds(&figures, metric::MESSAGING_PROCESS_DURATION, &failed("timeout")), [3.0]);
    assert!(gauge(&figures).abs() < f64::EPSILON, "{}", gauge(&figures));
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_in_flight() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    bench.fill(3).await;
    let worker = bench.worker().await.concurrency(2).layer(Metrics::new()).max_messages(3);
    let running = tokio::spawn(worker.run(async || sleep(2 * SECOND).await));
    let (mut seen, mut in_flight) = (Vec::new(), 0.0);
    for _ in 0..3 {
        sleep(SECOND + SECOND / 2).await;
        // This recorder sets a figure back to zero when it tells it.
        in_flight += gauge(&figures(&snapshotter));
        seen.push(in_flight);
    }
    running.await.unwrap().unwrap();
    assert_eq!(seen, [2.0, 1.0, 0.0], "after 1.5, 3 and 4.5 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_is_in_flight_no_more() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    bench.fill(2).await;
    let worker = bench.worker().await.concurrency(2).layer(Metrics::new()).max_time(SECOND).deadline(SECOND);
    worker.run(async || pending::<()>().await).await.unwrap();
    let figures = figures(&snapshotter);
    assert!(gauge(&figures).abs() < f64::EPSILON, "{}", gauge(&figures));
    assert_eq!(seconds(&figures, metric::MESSAGING_PROCESS_DURATION, &failed("cancelled")), [2.0, 2.0]);
    assert_eq!(worker_count(&figures, "swarrot.worker.cancelled"), 2);
    assert_eq!(settled(&figures, "release"), 2);
}

const WORKER_LABELS: [(&str, &str); 2] =
    [(attribute::MESSAGING_DESTINATION_NAME, QUEUE), (attribute::MESSAGING_SYSTEM, "memory")];

fn worker_count(figures: &Figures, name: &str) -> u64 {
    count(figures, name, &WORKER_LABELS)
}

fn settled(figures: &Figures, outcome: &str) -> u64 {
    let labels: Vec<_> = WORKER_LABELS.into_iter().chain([("swarrot.outcome", outcome)]).collect();
    count(figures, "swarrot.worker.settled", &labels)
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_figures_of_its_own() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    bench.fill(3).await;
    bench.send(Message::new("bad")).await;
    let handler = async |body: String| if body == "bad" { Err("no") } else { Ok(()) };
    let worker = bench.worker().await.layer(Retry::fixed(SECOND).attempts(2)).max_messages(5);
    worker.run(handler).await.unwrap();
    let figures = figures(&snapshotter);
    let outcomes = ["ack", "retry", "reject", "requeue", "release"].map(|outcome| settled(&figures, outcome));
    assert_eq!(outcomes, [3, 1, 1, 0, 0], "what has not happened is there too");
    assert_eq!(worker_count(&figures, "swarrot.worker.errors"), 1);
    assert_eq!(worker_count(&figures, "swarrot.worker.broker_errors"), 0);
    let settle = [
        (attribute::MESSAGING_DESTINATION_NAME, QUEUE),
        (attribute::MESSAGING_OPERATION_NAME, "settle"),
        (attribute::MESSAGING_OPERATION_TYPE, "settle"),
        (attribute::MESSAGING_SYSTEM, "memory"),
    ];
    let times = seconds(&figures, metric::MESSAGING_CLIENT_OPERATION_DURATION, &settle);
    assert!((1..=5).contains(&times.len()), "one for each call, which settles one or more: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_broker_and_their_end_are_counted() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || {}));
    sleep(SECOND).await;
    bench.faults().cut();
    sleep(10 * SECOND).await;
    bench.fill(1).await;
    sleep(10 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    let figures = figures(&snapshotter);
    assert_eq!((report.counts.acked, settled(&figures, "ack")), (1, 1));
    let broker_errors = worker_count(&figures, "swarrot.worker.broker_errors");
    assert!(broker_errors > 0);
    assert_eq!(broker_errors, report.counts.broker_errors);
    assert_eq!((worker_count(&figures, "swarrot.worker.recoveries"), report.counts.recoveries), (1, 1));
}

fn publish_labels<'a>(
    error: Option<&'a str>,
    destination: Option<&'a str>,
    kind: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let labels = [
        (attribute::ERROR_TYPE, error),
        (attribute::MESSAGING_DESTINATION_NAME, destination),
        (attribute::MESSAGING_OPERATION_NAME, Some("publish")),
        (attribute::MESSAGING_OPERATION_TYPE, kind),
        (attribute::MESSAGING_SYSTEM, Some("memory")),
    ];
    labels.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[tokio::test(start_paused = true)]
async fn publishes_are_counted_and_timed() {
    recorded!(snapshotter);
    let bench = Bench::new().await;
    let recording = RecordingPublisher::around(Arc::clone(&bench.publisher));
    let publisher = recording.clone().layer(Metrics::new());
    let to = |queue: &str| Outgoing::new(queue, Message::new(""));
    recording.fail_next(Error::new(ErrorKind::Rejected, "full"));
    publisher.publish(&[to(QUEUE), to(QUEUE), to(QUEUE)]).await;
    publisher.publish(&[to(QUEUE), to(DEAD)]).await;
    bench.faults().block();
    assert!(tokio::time::timeout(2 * SECOND, publisher.publish_one(to(QUEUE))).await.is_err());

    let figures = figures(&snapshotter);
    let sent = |error, queue| {
        count(&figures, metric::MESSAGING_CLIENT_SENT_MESSAGES, &publish_labels(error, Some(queue), None))
    };
    assert_eq!((sent(None, QUEUE), sent(None, DEAD)), (3, 1));
    assert_eq!((sent(Some("rejected"), QUEUE), sent(Some("cancelled"), QUEUE)), (1, 1));
    let took = |error, queue| {
        seconds(&figures, metric::MESSAGING_CLIENT_OPERATION_DURATION, &publish_labels(error, queue, Some("send")))
    };
    assert_eq!(took(Some("rejected"), Some(QUEUE)), [0.0]);
    assert_eq!(took(None, None), [0.0], "a batch to several has no one destination");
    assert_eq!(took(Some("cancelled"), Some(QUEUE)), [2.0]);
}

#[tokio::test(start_paused = true)]
async fn the_labels_are_bounded() {
    recorded!(snapshotter);
    let metrics = Metrics::new().max_destinations(NonZeroUsize::new(2).unwrap());
    let publisher = RecordingPublisher::new("").layer(metrics);
    for n in 0..50 {
        publisher.publish_one(Outgoing::new(format!("reply.{n}"), Message::new(""))).await.unwrap();
    }
    // An exchange has one destination, however many keys.
    let exchange = RecordingPublisher::new("events").layer(metrics);
    for n in 0..50 {
        exchange.publish_one(Outgoing::new(format!("user.{n}"), Message::new(""))).await.unwrap();
    }
    let figures = figures(&snapshotter);
    let sent: Vec<_> = figures.keys().filter(|key| key.starts_with(metric::MESSAGING_CLIENT_SENT_MESSAGES)).collect();
    assert_eq!(sent.len(), 4, "{sent:?}");
    let labels = |queue| {
        [
            (attribute::MESSAGING_DESTINATION_NAME, queue),
            (attribute::MESSAGING_OPERATION_NAME, "publish"),
            (attribute::MESSAGING_SYSTEM, ""),
        ]
    };
    let sent = |queue| count(&figures, metric::MESSAGING_CLIENT_SENT_MESSAGES, &labels(queue));
    assert_eq!([sent("reply.0"), sent("reply.1"), sent("_OTHER"), sent("events")], [1, 1, 48, 50]);
}
