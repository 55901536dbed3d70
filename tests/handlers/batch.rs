//! Batches: when they start, what becomes of each message, and what happens when something is cancelled.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Bench, Seen};
use swarrot::prelude::*;
use swarrot::{Batch, BatchFailed, IntoHandler, Router, StopReason};
use tokio::time::{Instant, sleep};
use tracing::subscriber::NoSubscriber;
use tracing::{Instrument, span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

const SECOND: Duration = Duration::from_secs(1);

/// Notes each batch as one line.
async fn note(bodies: Vec<String>, State(seen): State<Seen>) {
    seen.note(bodies.join(" "));
}

#[tokio::test(start_paused = true)]
async fn full_batches_at_once_and_the_rest_after_the_wait() {
    let bench = Bench::new().await;
    bench.fill(8).await;
    let start = Instant::now();
    let worker = bench.worker().await.concurrency(6).max_messages(9);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(Batch::new(3, 10 * SECOND, note)));
    sleep(SECOND).await;
    assert_eq!(bench.seen.all(), ["0 1 2", "3 4 5"], "in the order of arrival");
    sleep(10 * SECOND).await;
    assert_eq!(bench.seen.all(), ["0 1 2", "3 4 5", "6 7"]);
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.acked, report.counts.handled), (8, 8));
    assert!(start.elapsed() < 12 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_wait_counts_from_the_first() {
    let bench = Bench::new().await;
    let worker = bench.worker().await.concurrency(10);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(Batch::new(10, 5 * SECOND, note)));
    for _ in 0..3 {
        sleep(3 * SECOND).await;
        bench.fill(1).await;
    }
    // They came after 3, 6 and 9 s: the first batch had its time at 8 s.
    sleep(SECOND / 2).await;
    assert_eq!(bench.seen.all(), ["0 0"]);
    sleep(5 * SECOND).await;
    assert_eq!(bench.seen.all(), ["0 0", "0"]);
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_result_for_each() {
    let bench = Bench::new().await;
    bench.fill(4).await;
    let each = async |bodies: Vec<String>| -> Vec<Result<Outcome, BoxError>> {
        let result = |body: &String| match body.as_str() {
            "0" => Ok(Outcome::Ack),
            "1" => Err("no".into()),
            "2" => Ok(Outcome::reject("never")),
            _ => Err(Permanent::new("broken").into()),
        };
        bodies.iter().map(result).collect()
    };
    let worker = bench.worker().await.concurrency(4).layer(Retry::fixed(3600 * SECOND)).stop_when_empty();
    let report = worker.run(Batch::new(4, SECOND, each)).await.unwrap();
    let counts = report.counts;
    assert_eq!((counts.acked, counts.retried, counts.rejected, counts.errors), (1, 1, 2, 1), "{report}");
    let reasons: Vec<_> = bench.parked().await.iter().map(|d| d.message().failure().unwrap().reason.unwrap()).collect();
    assert_eq!(reasons, ["never", "broken"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_decode_does_not_spoil_the_others() {
    let bench = Bench::new().await;
    for body in ["1", "x", "2"] {
        bench.publisher.publish_one(Outgoing::new("work", Message::new(body))).await.unwrap();
    }
    let sum = async |numbers: Vec<(Json<u32>, Delivery)>, State(seen): State<Seen>| {
        assert!(numbers.iter().all(|(_, delivery)| delivery.queue() == "work"));
        seen.note(numbers.iter().map(|(Json(number), _)| number).sum::<u32>().to_string());
    };
    let worker = bench.worker().await.concurrency(3).stop_when_empty();
    let report = worker.run(Batch::new(3, SECOND, sum)).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected), (2, 1));
    assert_eq!(bench.seen.all(), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_error_of_all() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let failing = async |bodies: Vec<String>| -> Result<(), BoxError> {
        Err(std::io::Error::other(format!("{} rows refused", bodies.len())).into())
    };
    let decide = |delivery: &Delivery, error: &BoxError| {
        let failed = error.downcast_ref::<BatchFailed>().expect("it says that it is a batch's");
        assert_eq!(failed.messages(), 3);
        Outcome::reject(format!("{:?}: {}", delivery.body(), Reason::from_error(failed)))
    };
    let worker = bench.worker().await.concurrency(3).on_error(decide).stop_when_empty();
    let report = worker.run(Batch::new(3, SECOND, failing)).await.unwrap();
    assert_eq!((report.counts.errors, report.counts.rejected), (3, 3));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert_eq!(reason, "b\"0\": the batch of 3 failed: 3 rows refused");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_panic_of_all_and_the_next_batch_goes_on() {
    let bench = Bench::new().await;
    bench.fill(4).await;
    let panics = async |bodies: Vec<String>| assert!(!bodies.contains(&"0".to_owned()), "boom");
    let worker = bench.worker().await.concurrency(2).stop_when_empty();
    let report = worker.run(Batch::new(2, SECOND, panics)).await.unwrap();
    assert_eq!((report.counts.panics, report.counts.acked), (2, 2), "{report}");
    assert_eq!(bench.parked().await[1].message().failure().unwrap().reason.unwrap(), "the handler panicked: boom");
}

#[tokio::test(start_paused = true)]
async fn layers_work_on_each_message() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let each = async |items: Vec<(String, Attempt)>, State(seen): State<Seen>| -> Vec<Result<(), BoxError>> {
        seen.note(
            items.iter().map(|(body, Attempt(attempt))| format!("{body}/{attempt}")).collect::<Vec<_>>().join(" "),
        );
        let result = |(body, Attempt(attempt)): &(String, Attempt)| match body.as_str() {
            "1" if *attempt < 3 => Err("not yet".into()),
            _ => Ok(()),
        };
        items.iter().map(result).collect()
    };
    let worker = bench.worker().await.concurrency(2).layer(Retry::fixed(60 * SECOND)).max_messages(4);
    let report = worker.run(Batch::new(2, SECOND, each)).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (2, 2));
    assert_eq!(bench.seen.all(), ["0/1 1/1", "1/2", "1/3"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_handles_what_has_gathered_at_once() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let worker = bench.worker().await.concurrency(10);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(Batch::new(10, 3600 * SECOND, note)));
    sleep(SECOND).await;
    assert_eq!(bench.seen.len(), 0);
    let stopping = Instant::now();
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert!(stopping.elapsed() < SECOND);
    assert_eq!((report.counts.acked, bench.seen.all()), (2, vec!["0 1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_last_messages_of_a_worker_do_not_wait_for_more() {
    let bench = Bench::new().await;
    bench.fill(5).await;
    let start = Instant::now();
    let worker = bench.worker().await.concurrency(4).max_messages(5);
    let report = worker.run(Batch::new(4, 3600 * SECOND, note)).await.unwrap();
    assert!(matches!(report.stopped, StopReason::MaxMessages));
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert_eq!((report.counts.acked, bench.seen.len()), (5, 2));
}

/// Tells when it is dropped.
struct OnDrop(Seen, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cancels_a_batch_and_gives_all_of_it_back() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let worker = bench.worker().await.concurrency(3).deadline(5 * SECOND);
    let handle = worker.handle();
    let slow = async |_: Vec<Delivery>, State(seen): State<Seen>| {
        let _dropped = OnDrop(Seen::clone(&seen), "cancelled");
        sleep(3600 * SECOND).await;
        seen.note("done");
    };
    let running = tokio::spawn(worker.run(Batch::new(3, SECOND, slow)));
    sleep(SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.cancelled, report.counts.released), (3, 3));
    tokio::task::yield_now().await;
    assert_eq!(bench.seen.all(), ["cancelled"]);
    assert_eq!(bench.left().await, (3, 0));
}

/// A layer whose handlers give up on the message `0` after a time.
#[derive(Clone)]
struct GiveUpOnZero<H>(Duration, H);

impl<H: swarrot::Handler> swarrot::Handler for GiveUpOnZero<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        if delivery.body() == "0" {
            tokio::time::timeout(self.0, self.1.handle(delivery)).await.unwrap_or(Err("gave up".into()))
        } else {
            self.1.handle(delivery).await
        }
    }
}

fn give_up_on_zero<H>(after: Duration) -> impl tower_layer::Layer<H, Service = GiveUpOnZero<H>> {
    tower_layer::layer_fn(move |inner| GiveUpOnZero(after, inner))
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_leaves_a_batch_that_gathers() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let batch = Batch::new(4, 10 * SECOND, note);
    let worker = bench.worker().await.concurrency(4).layer(give_up_on_zero(5 * SECOND)).max_messages(4);
    let running = tokio::spawn(worker.run(batch));
    sleep(6 * SECOND).await;
    bench.fill(1).await;
    let report = running.await.unwrap().unwrap();
    // The second `0` gave up no more: the batch was handled at once, since no more can come.
    assert_eq!(bench.seen.all(), ["1 2 0"]);
    assert_eq!((report.counts.acked, report.counts.rejected), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_while_it_is_handled_leaves_the_others_alone() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let slow = async |bodies: Vec<String>, State(seen): State<Seen>| {
        sleep(10 * SECOND).await;
        seen.note(bodies.join(" "));
    };
    let worker = bench.worker().await.concurrency(3).layer(give_up_on_zero(5 * SECOND)).stop_when_empty();
    let report = worker.run(Batch::new(3, SECOND, slow)).await.unwrap();
    assert_eq!(bench.seen.all(), ["0 1 2"]);
    assert_eq!((report.counts.acked, report.counts.rejected), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_all_have_left_is_given_up() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let worker = bench.worker().await.concurrency(3).layer(Timeout::new(5 * SECOND));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(Batch::new(3, 60 * SECOND, note)));
    sleep(6 * SECOND).await;
    bench.fill(3).await;
    sleep(SECOND).await;
    assert_eq!(bench.seen.all(), ["0 1 2"], "the next batch begins anew");
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_each_message_cancels_the_function_once_all_are_gone() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let slow = async |_: Vec<Delivery>, State(seen): State<Seen>| {
        let _dropped = OnDrop(Seen::clone(&seen), "cancelled");
        sleep(3600 * SECOND).await;
    };
    let worker = bench.worker().await.concurrency(2).layer(Timeout::new(5 * SECOND)).stop_when_empty();
    let report = worker.run(Batch::new(2, SECOND, slow)).await.unwrap();
    assert_eq!(report.counts.rejected, 2);
    assert_eq!(bench.seen.all(), ["cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_lease_is_lost_does_not_take_the_others_along() {
    let bench = Bench::with_lease(10 * SECOND).await;
    bench.fill(2).await;
    let worker = bench.worker().await.concurrency(2);
    let handle = worker.handle();
    let slow = async |bodies: Vec<String>, State(seen): State<Seen>| {
        sleep(60 * SECOND).await;
        seen.note(bodies.join(" "));
    };
    let running = tokio::spawn(worker.run(Batch::new(2, SECOND, slow)));
    sleep(2 * SECOND).await;
    // Another provider claims what was delivered, as after a partition.
    bench.faults().cut();
    sleep(300 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.lost, report.counts.acked), (2, 2), "{report}");
    assert_eq!(bench.seen.len(), 1, "the first batch was cancelled, the second handled: {:?}", bench.seen.all());
}

#[tokio::test(start_paused = true)]
async fn a_lower_concurrency_makes_smaller_batches() {
    let bench = Bench::new().await;
    bench.fill(4).await;
    let worker = bench.worker().await.concurrency(4);
    let handle = worker.handle();
    handle.set_concurrency(4);
    let running = tokio::spawn(worker.run(Batch::new(4, 3600 * SECOND, note)));
    sleep(SECOND).await;
    handle.set_concurrency(2);
    sleep(SECOND).await;
    bench.fill(4).await;
    sleep(SECOND).await;
    assert_eq!(bench.seen.all(), ["0 1 2 3", "0 1", "2 3"]);
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_can_never_work_keeps_the_worker_from_starting() {
    let bench = Bench::new().await;
    let error = bench.worker().await.concurrency(9).run(Batch::new(10, SECOND, note)).await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert_eq!(source, "a batch of 10 never fills with a concurrency of 9; set .concurrency(10) or more");
    let lacking = async |_: Vec<Delivery>, State(_): State<u16>| {};
    let error = bench.worker().await.run(Batch::new(1, SECOND, lacking)).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("a handler asks for State<u16>"));
}

#[tokio::test(start_paused = true)]
async fn several_loops_and_tasks_share_batches() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let bench = Bench::new().await;
    bench.fill(100).await;
    let count = async |bodies: Vec<String>, State(seen): State<Seen>, _: WorkerHandle| {
        MOST.fetch_max(bodies.len(), Ordering::SeqCst);
        sleep(SECOND).await;
        for body in bodies {
            seen.note(body);
        }
    };
    let worker = bench.worker().await.concurrency(20).parallelism(3).spawned().stop_when_empty();
    let report = worker.run(Batch::new(10, SECOND / 10, count)).await.unwrap();
    assert_eq!((report.counts.acked, bench.seen.len(), MOST.load(Ordering::SeqCst)), (100, 100, 10));
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_be_a_route() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let batch = Batch::new(3, SECOND, note).layer(Timeout::new(60 * SECOND));
    let worker = bench.worker().await.concurrency(3).stop_when_empty();
    let report = worker.run(Router::new().routing_key("work", batch)).await.unwrap();
    assert_eq!((report.counts.acked, bench.seen.all()), (3, vec!["0 1 2".to_owned()]));
}

/// Notes which spans follow from which.
#[derive(Clone)]
struct Follows(Seen);

impl<S> tracing_subscriber::Layer<S> for Follows
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_follows_from(&self, span: &span::Id, follows: &span::Id, spans: tracing_subscriber::layer::Context<'_, S>) {
        let name = |id| spans.span(id).expect("it lives").name();
        self.0.note(format!("{} follows {}", name(span), name(follows)));
    }
}

/// A layer that handles each delivery in a span of its own.
struct InSpan<H>(H);

impl<H: swarrot::Handler> swarrot::Handler for InSpan<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        self.0.handle(delivery).instrument(tracing::info_span!("delivery")).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_batch_follows_from_those_of_its_messages() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let follows = Follows(Seen::default());
    // While a process has but one subscriber, tracing asks whichever thread comes first to a span for its own, and one that has
    // none turns that span off for all. So there is a second one, which wants nothing.
    let _second = tracing::Dispatch::new(NoSubscriber::default());
    let _default = tracing_subscriber::registry().with(follows.clone()).set_default();
    let worker = bench.worker().await.concurrency(2).layer(tower_layer::layer_fn(InSpan)).max_messages(2);
    let noting = async |_: Vec<Delivery>, State(seen): State<Seen>| {
        seen.note(tracing::Span::current().metadata().expect("in a span").name());
    };
    worker.run(Batch::new(2, SECOND, noting)).await.unwrap();
    assert_eq!(bench.seen.all(), ["batch"]);
    assert_eq!(follows.0.all(), ["batch follows delivery"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_lose_nothing() {
    let bench = Bench::new().await;
    bench.fill(5000).await;
    let sizes = Arc::new(AtomicUsize::new(0));
    let count = {
        let sizes = Arc::clone(&sizes);
        move |bodies: Vec<String>, State(seen): State<Seen>| {
            let sizes = Arc::clone(&sizes);
            async move {
                sizes.fetch_max(bodies.len(), Ordering::SeqCst);
                tokio::task::yield_now().await;
                for body in bodies {
                    seen.note(body);
                }
            }
        }
    };
    // Some are cancelled while they gather or are handled.
    let worker = bench.worker().await.concurrency(64).parallelism(4).spawned().stop_when_empty();
    let worker =
        worker.layer(Retry::fixed(Duration::ZERO).attempts(1000)).layer(Timeout::new(Duration::from_millis(2)));
    let report = worker.run(Batch::new(16, Duration::from_millis(1), count)).await.unwrap();
    let mut seen = bench.seen.all();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((report.counts.acked, seen.len()), (5000, 5000), "{report}");
    assert!(sizes.load(Ordering::SeqCst) <= 16);
    assert!(report.counts.panics == 0 && bench.left().await == (0, 0), "{report}");
}
