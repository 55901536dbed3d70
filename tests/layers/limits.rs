//! `MaxDeliveries` and `MaxAge`: what becomes of a message that failed too often, or for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use swarrot::layer::{MaxAge, MaxDeliveries};
use swarrot::prelude::*;
use swarrot::{Value, unix_time};

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);

async fn reason(bench: &Bench) -> String {
    bench.parked().await[0].message().failure().unwrap().reason.unwrap()
}

/// A message that a queue has dead-lettered to a waiting queue, as RabbitMQ notes it.
async fn publish_died(bench: &Bench, times: i64, at: u64) {
    let death = [
        ("queue", Value::from("work")),
        ("reason", "rejected".into()),
        ("count", times.into()),
        ("time", Value::Timestamp(at)),
    ];
    let waited = [("queue", Value::from("work.waiting")), ("reason", "expired".into()), ("count", times.into())];
    let map = |entries: &[(&str, Value)]| {
        Value::Map(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>())
    };
    let message = Message::new("").header("x-death", vec![map(&waited), map(&death)]);
    bench.publisher.publish_one(Outgoing::copy("work", message)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requeues_are_counted_by_the_broker() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.layer(MaxDeliveries::new(4));
    let report = worker.max_messages(4).run(async || Outcome::Requeue).await.unwrap();
    assert_eq!((report.counts.requeued, report.counts.rejected), (3, 1));
    assert_eq!(reason(&bench).await, "delivered 4 times, the limit is 4");
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_by_the_header() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let retry = Retry::fixed(SECOND).attempts(1000);
    let worker = bench.worker().await.layer(MaxDeliveries::new(5)).layer(retry);
    let report = worker.max_messages(5).run(async || Err::<(), _>("451 busy")).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.errors), (4, 1, 0));
    assert_eq!(reason(&bench).await, "delivered 5 times, the limit is 5: 451 busy");
}

#[tokio::test(start_paused = true)]
async fn returns_from_a_waiting_queue_are_counted_by_x_death() {
    let bench = Bench::new().await;
    for (before, parked) in [(1, 0), (2, 1)] {
        publish_died(&bench, before, unix_time()).await;
        let worker = bench.worker().await.layer(MaxDeliveries::new(3)).on_error(|_, _| Outcome::Ack);
        worker.max_messages(1).run(async || Err::<(), _>("no")).await.unwrap();
        assert_eq!(bench.left().await, (0, parked), "after {before} returns");
    }
    assert_eq!(reason(&bench).await, "delivered 3 times, the limit is 3: no");
}

#[tokio::test(start_paused = true)]
async fn a_success_on_the_last_delivery_is_a_success() {
    let bench = Bench::new().await;
    publish_died(&bench, 50, 1).await;
    let worker = bench.worker().await.layer(MaxDeliveries::new(3)).layer(MaxAge::new(SECOND));
    let report = worker.max_messages(1).run(async || {}).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected), (1, 0));
    // What was not attempted did not fail.
    publish_died(&bench, 50, 1).await;
    let worker = bench.worker().await.layer(MaxDeliveries::new(3)).layer(MaxAge::new(SECOND));
    let report = worker.max_messages(1).run(async || Outcome::Release).await.unwrap();
    assert_eq!((report.counts.rejected, bench.left().await), (0, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_callback_decides() {
    let bench = Bench::new().await;
    for body in ["ack", "rethrow", "stop"] {
        bench.publisher.publish_one(Outgoing::new("work", Message::new(body))).await.unwrap();
    }
    let worker = bench.worker().await;
    let (seen, handle) = (bench.seen.clone(), worker.handle());
    let limit = MaxDeliveries::new(1).decide(move |delivery, exceeded| {
        seen.note(exceeded.reason.as_str());
        match &delivery.body()[..] {
            b"ack" => Ok(Outcome::Ack),
            b"stop" => {
                handle.stop();
                Ok(Outcome::Requeue)
            }
            _ => exceeded.result,
        }
    });
    let report = worker.layer(limit).run(async || Err::<(), _>("no")).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected, report.counts.requeued), (1, 1, 1));
    assert_eq!(bench.seen.all(), ["delivered 1 times, the limit is 1: no"; 3]);
    assert_eq!(reason(&bench).await, "no", "the error went on as it was");
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_first_failure() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let retry = Retry::fixed(600 * SECOND).attempts(1000);
    let worker = bench.worker().await.layer(MaxAge::new(3600 * SECOND)).layer(retry);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>| {
        seen.note("tried");
        Err::<(), _>("down")
    }));
    while bench.left().await.1 == 0 {
        tokio::time::sleep(SECOND).await;
    }
    handle.stop();
    running.await.unwrap().unwrap();
    // The sixth retry comes an hour after the first failure; the clock of headers is a second wide.
    assert!((7..=8).contains(&bench.seen.len()), "{}", bench.seen.len());
    let reason = reason(&bench).await;
    assert!(reason.starts_with("3600s old, the limit is 3600s: down") || reason.starts_with("4200s"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_timestamp_or_x_death() {
    let bench = Bench::new().await;
    let mut old = Message::new("");
    old.properties.timestamp = Some(unix_time() - 100);
    bench.publisher.publish_one(Outgoing::new("work", old)).await.unwrap();
    publish_died(&bench, 1, unix_time() - 100).await;
    // Of this one nothing is known.
    bench.fill(1).await;
    let worker = bench.worker().await.layer(MaxAge::new(90 * SECOND)).on_error(|_, _| Outcome::Ack);
    let report = worker.max_messages(3).run(async || Err::<(), _>("no")).await.unwrap();
    assert_eq!((report.counts.rejected, report.counts.acked), (2, 1));
    assert!(reason(&bench).await.contains("s old, the limit is 90s: no"));
}
