//! The worker on the memory backend: what it settles, its limits, and what failing handlers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Bench, Seen, report_of};
use swarrot::prelude::*;
use swarrot::{ErrorKind, StopReason};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn note(State(seen): State<Seen>, body: String) {
    seen.note(body);
}

#[tokio::test(start_paused = true)]
async fn handles_all_in_order_and_stops_when_empty() {
    let bench = Bench::new().await;
    bench.fill(100).await;
    let report = bench.worker().await.stop_when_empty().run(note).await.unwrap();
    assert!(matches!(report.stopped, StopReason::Empty), "{report}");
    assert_eq!(report.counts.acked, 100);
    let expected: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
    assert_eq!(bench.seen.all(), expected);
    assert_eq!(bench.left().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_reached_and_never_exceeded() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let bench = Bench::new().await;
    bench.fill(200).await;
    let handler = async || {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(SECOND).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    };
    let started = Instant::now();
    let report = bench.worker().await.concurrency(20).parallelism(3).stop_when_empty().run(handler).await.unwrap();
    assert_eq!(report.counts.acked, 200);
    assert_eq!(MOST.load(Ordering::SeqCst), 20);
    assert!(started.elapsed() < 12 * SECOND, "ten rounds of twenty take {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_error_parks_with_its_sources_and_the_worker_goes_on() {
    #[derive(Debug, thiserror::Error)]
    #[error("mail not sent")]
    struct NotSent(#[source] std::io::Error);
    let bench = Bench::new().await;
    bench.fill(3).await;
    let handler = async |body: String| match body.as_str() {
        "1" => Err(NotSent(std::io::Error::other("451 try later"))),
        _ => Ok(()),
    };
    let report = bench.worker().await.stop_when_empty().run(handler).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected, report.counts.errors), (2, 1, 1));
    let parked = bench.parked().await;
    let failure = parked[0].message().failure().unwrap();
    assert_eq!(failure.reason.as_deref(), Some("mail not sent: 451 try later"));
    assert_eq!(failure.source_queue.as_deref(), Some("work"));
    assert_eq!(failure.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn panics_are_errors_that_layers_see() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt, State(seen): State<Seen>| {
        seen.note(attempt.to_string());
        assert!(attempt > 2, "not yet");
    };
    let worker = bench.worker().await.layer(Retry::fixed(SECOND).attempts(3)).max_messages(3);
    let report = worker.run(handler).await.unwrap();
    assert_eq!(bench.seen.all(), ["1", "2", "3"]);
    assert_eq!((report.counts.retried, report.counts.acked), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_outside_every_layer_is_caught_too() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let handler = async |body: String| assert_ne!(body, "0", "boom");
    for spawned in [false, true] {
        bench.fill(2).await;
        let worker = bench.worker().await.stop_when_empty();
        let worker = if spawned { worker.spawned() } else { worker };
        worker.run(handler).await.unwrap();
    }
    let parked = bench.parked().await;
    assert_eq!(parked.len(), 3);
    let reason = parked[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.starts_with("the handler panicked: ") && reason.contains("boom"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn hours_of_growing_delays_run_at_once() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |State(seen): State<Seen>| -> Result<(), BoxError> {
        seen.note("tried");
        Err("still down".into())
    };
    let retry = Retry::exponential(Duration::from_secs(1800), Duration::from_secs(14400)).attempts(6);
    let worker = bench.worker().await.layer(retry).max_messages(6);
    let (paused, real) = (Instant::now(), std::time::Instant::now());
    let report = worker.run(handler).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.rejected), (5, 1));
    // 30 min, 1 h, 2 h, 4 h, 4 h.
    assert_eq!(paused.elapsed().as_secs() / 60, 30 + 60 + 120 + 240 + 240);
    assert!(real.elapsed() < 5 * SECOND, "{:?}", real.elapsed());
    assert_eq!(bench.seen.len(), 6);
    assert_eq!(bench.parked().await[0].message().failure().unwrap().attempts, 6);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_decode_is_parked_at_once() {
    #[derive(serde::Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only its decoding matters")]
        id: u64,
    }
    let bench = Bench::new().await;
    bench.publisher.publish_one(Outgoing::new("work", Message::new("{\"id\": \"seven\"}"))).await.unwrap();
    let worker = bench.worker().await.layer(Retry::fixed(SECOND)).stop_when_empty();
    let report = worker.run(async |Json(_): Json<Order>| {}).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.rejected), (0, 1));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.contains("is not the JSON of a") && reason.contains("invalid type: string"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn missing_state_fails_at_the_start() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = Worker::new(bench.provider().await).signals_off().stop_when_empty();
    let handle = worker.handle();
    let error = worker.run(note).await.unwrap_err();
    // Whoever waits for the worker's end must not wait for ever.
    handle.stopping().await;
    assert!(error.report().is_none());
    let source = error.broker_error().unwrap();
    assert_eq!(source.kind(), ErrorKind::NotFound);
    assert!(source.to_string().contains("Seen") && source.to_string().contains(".state("), "{source}");
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn max_messages_is_exact() {
    let bench = Bench::new().await;
    bench.fill(50).await;
    for loops in [1, 4] {
        let worker = bench.worker().await.concurrency(8).parallelism(loops).max_messages(10);
        let report = worker.run(note).await.unwrap();
        assert!(matches!(report.stopped, StopReason::MaxMessages), "{report}");
        assert_eq!(report.counts.handled, 10);
    }
    assert_eq!(bench.left().await, (30, 0));
    let none = bench.worker().await.max_messages(0).run(note).await.unwrap();
    assert_eq!(none.counts.handled, 0);
}

#[tokio::test(start_paused = true)]
async fn max_time_ends_an_idle_worker() {
    let bench = Bench::new().await;
    let started = Instant::now();
    let report = bench.worker().await.max_time(3600 * SECOND).run(note).await.unwrap();
    assert!(matches!(report.stopped, StopReason::MaxTime), "{report}");
    assert_eq!(started.elapsed().as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn max_memory_stops_after_a_message() {
    let bench = Bench::new().await;
    bench.fill(10).await;
    let slow = async || sleep(SECOND).await;
    let report = bench.worker().await.max_memory(1).run(slow).await.unwrap();
    assert!(matches!(report.stopped, StopReason::MaxMemory(bytes) if bytes > 1), "{report}");
    assert_eq!(report.counts.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn stop_on_error_ends_with_the_error() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let error = bench.worker().await.stop_on_error().run(async || Err::<(), _>("broken")).await.unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "broken");
    assert_eq!(error.report().unwrap().counts.handled, 1);
    assert_eq!(bench.left().await, (2, 1));
}

#[tokio::test(start_paused = true)]
async fn on_error_decides() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.on_error(|delivery, _| match delivery.delivery_count() {
        Some(1) => Outcome::Requeue,
        _ => Outcome::Ack,
    });
    let report = worker.max_messages(2).run(async || Err::<(), _>("no")).await.unwrap();
    assert_eq!((report.counts.requeued, report.counts.acked, report.counts.errors), (1, 1, 2));
    assert_eq!(bench.left().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_too_often_is_parked_unhandled() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let crashing = bench.worker().await.max_messages(3).run(async || Outcome::Requeue).await.unwrap();
    assert_eq!(crashing.counts.requeued, 3);
    let report = bench.worker().await.crash_limit(3).stop_when_empty().run(note).await.unwrap();
    assert_eq!((report.counts.handled, report.counts.rejected), (0, 1));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.starts_with("delivered 4 times"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn at_most_once_acks_first() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let handler = async |body: String| if body == "0" { Err("fails after its ack") } else { Ok(()) };
    let report = bench.worker().await.ack_before_handling().stop_when_empty().run(handler).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.errors, report.counts.rejected), (2, 1, 0));
    assert_eq!(bench.left().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn concurrency_changes_while_running() {
    let bench = Bench::new().await;
    bench.fill(100).await;
    let worker = bench.worker().await.concurrency(2).stop_when_empty();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || sleep(10 * SECOND).await));
    sleep(SECOND).await;
    assert_eq!(handle.health().in_flight.len(), 2);
    handle.set_concurrency(5);
    sleep(SECOND).await;
    assert_eq!(handle.health().in_flight.len(), 5);
    handle.set_concurrency(1);
    sleep(10 * SECOND).await;
    assert!(handle.health().in_flight.len() <= 3, "those that began later may finish");
    sleep(10 * SECOND).await;
    assert_eq!(handle.health().in_flight.len(), 1);
    handle.stop();
    assert!(running.await.unwrap().unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn hooks_run_at_start_idle_and_stop() {
    let bench = Bench::new().await;
    let seen = bench.seen.clone();
    let noting = |what: &'static str| {
        let seen = seen.clone();
        move |worker: WorkerHandle| {
            seen.note(what);
            if what == "idle" {
                worker.stop();
            }
            std::future::ready(())
        }
    };
    let worker = bench.worker().await.on_start(noting("start")).on_idle(noting("idle")).on_stop(noting("stop"));
    worker.run(note).await.unwrap();
    assert_eq!(bench.seen.all(), ["start", "idle", "stop"]);
}

#[tokio::test(start_paused = true)]
async fn the_layer_added_first_is_outermost() {
    struct Tag(&'static str);
    struct Tagged<H>(&'static str, H);
    impl<H> tower_layer::Layer<H> for Tag {
        type Service = Tagged<H>;
        fn layer(&self, inner: H) -> Tagged<H> {
            Tagged(self.0, inner)
        }
    }
    impl<H: swarrot::Handler> swarrot::Handler for Tagged<H> {
        async fn handle(&self, mut delivery: Delivery) -> Result<Outcome, BoxError> {
            let before = delivery.extension::<String>().map_or(String::new(), |tags| (*tags).clone());
            delivery.insert_extension(before + self.0);
            self.1.handle(delivery).await
        }
    }
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |tags: swarrot::Extension<String>, State(seen): State<Seen>| seen.note(tags.as_str());
    bench.worker().await.layer(Tag("a")).layer(Tag("b")).stop_when_empty().run(handler).await.unwrap();
    assert_eq!(bench.seen.all(), ["ab"]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_an_error() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.layer(Timeout::new(5 * SECOND)).stop_when_empty();
    let report = worker.run(async || sleep(6 * SECOND).await).await.unwrap();
    assert_eq!(report.counts.rejected, 1);
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert_eq!(reason, "the handler took longer than 5s");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_fatal() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(note));
    while handle.health().last_receive.is_none() && !handle.health().running {
        tokio::task::yield_now().await;
    }
    bench.broker.delete("work").await.unwrap();
    let result = tokio::time::timeout(90 * SECOND, running).await.unwrap().unwrap();
    let error = result.as_ref().unwrap_err().broker_error().map(swarrot::Error::kind);
    assert_eq!(error, Some(ErrorKind::NotFound));
    assert!(matches!(report_of(result).stopped, StopReason::Broker(_)));
}

#[tokio::test(start_paused = true)]
async fn everything_can_be_a_handler() {
    struct Counting(Arc<AtomicUsize>);
    impl swarrot::Handler for Counting {
        async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Outcome::Ack)
        }
    }
    let bench = Bench::new().await;
    bench.fill(3).await;
    let count = Arc::new(AtomicUsize::new(0));
    bench.worker().await.stop_when_empty().run(Counting(Arc::clone(&count))).await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 3);
}
