//! Where limits, loops, leases and acks in advance meet.

use std::sync::Arc;
use std::time::Duration;

use swarrot::prelude::*;
use swarrot::{ErrorKind, StopReason};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_was_acked_first_is_not_renewed_and_not_cancelled() {
    let bench = Bench::with_lease(10 * SECOND).await;
    bench.fill(1).await;
    let worker = bench.worker().await.ack_before_handling().stop_when_empty();
    let report = worker
        .run(async |State(seen): State<Seen>| {
            sleep(60 * SECOND).await;
            seen.note("done");
        })
        .await
        .unwrap();
    assert_eq!((report.counts.acked, report.counts.handled, report.counts.lost), (1, 1, 0), "{report}");
    assert_eq!(bench.seen.len(), 1);
}

#[tokio::test]
async fn handlers_that_never_wait_leave_turns_to_others() {
    const MESSAGES: usize = 4000;
    let bench = Bench::new().await;
    bench.fill(MESSAGES).await;
    let worker = bench.worker().await.concurrency(MESSAGES).max_messages(MESSAGES as u64);
    let running = tokio::spawn(worker.run(async || {}));
    let mut turns = 0;
    while !running.is_finished() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(running.await.unwrap().unwrap().counts.acked, MESSAGES as u64);
    // One for each part of tokio's budget, and a few at the beginning and the end.
    assert!(turns > MESSAGES / 200, "{turns}");
}

#[tokio::test(start_paused = true)]
async fn what_was_acked_first_counts_as_acked_whatever_follows() {
    struct Panicking;
    struct Panics<H>(H);
    impl<H> tower_layer::Layer<H> for Panicking {
        type Service = Panics<H>;
        fn layer(&self, inner: H) -> Panics<H> {
            Panics(inner)
        }
    }
    impl<H: swarrot::Handler> swarrot::Handler for Panics<H> {
        async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
            self.0.handle(delivery).await?;
            panic!("a layer")
        }
    }
    let bench = Bench::new().await;
    for spawned in [false, true] {
        bench.fill(2).await;
        let worker = bench.worker().await.ack_before_handling().layer(Panicking).stop_when_empty();
        let worker = if spawned { worker.spawned() } else { worker };
        let counts = worker.run(async || {}).await.unwrap().counts;
        assert_eq!((counts.acked, counts.panics, counts.lost), (2, 2, 0), "{counts:?}");
    }
    bench.fill(2).await;
    let worker = bench.worker().await.ack_before_handling().concurrency(2).deadline(SECOND);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || sleep(60 * SECOND).await));
    sleep(SECOND).await;
    handle.stop();
    let counts = running.await.unwrap().unwrap().counts;
    assert_eq!((counts.acked, counts.cancelled, counts.released, counts.lost), (2, 2, 0, 0), "{counts:?}");
    assert_eq!(bench.left().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn more_loops_than_concurrency() {
    let bench = Bench::new().await;
    bench.fill(20).await;
    let worker = bench.worker().await.concurrency(2).parallelism(5).stop_when_empty();
    let started = Instant::now();
    let report = worker.run(async || sleep(SECOND).await).await.unwrap();
    assert_eq!(report.counts.acked, 20);
    assert!(started.elapsed().as_secs() < 12, "ten rounds of two");
}

#[tokio::test(start_paused = true)]
async fn two_workers_on_one_provider() {
    let bench = Bench::new().await;
    bench.fill(20).await;
    let provider = bench.provider().await;
    let worker = || Worker::new(Arc::clone(&provider)).signals_off().concurrency(2);
    let (one, two) = (worker().max_messages(5), worker());
    let two = tokio::spawn(two.run(async || sleep(10 * SECOND).await));
    let one = one.run(async || sleep(SECOND).await).await.unwrap();
    assert_eq!(one.counts.acked, 5);
    let two = timeout(200 * SECOND, two).await.unwrap().unwrap().unwrap();
    assert!(matches!(two.stopped, StopReason::Closed), "{two}");
    let lost = two.counts.lost;
    assert_eq!(bench.left().await, (20 - 5 - two.counts.acked, 0), "lost to the other's close: {lost}");
    assert_eq!(bench.provider().await.close().await.map_err(|e| e.kind()), Ok::<(), ErrorKind>(()));
}

#[tokio::test(start_paused = true)]
async fn a_handle_used_before_the_run_stops_it() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await;
    worker.handle().stop();
    let report = timeout(SECOND, worker.run(async || {})).await.unwrap().unwrap();
    assert_eq!((report.counts.handled, bench.left().await), (0, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_has_ended() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    assert!(!handle.health().is_healthy(), "not yet started");
    bench.fill(1).await;
    let running = tokio::spawn(worker.run(async || sleep(60 * SECOND).await));
    sleep(SECOND).await;
    assert!(handle.health().is_healthy() && handle.health().in_flight.len() == 1);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    timeout(SECOND, handle.stopping()).await.expect("it has ended");
    sleep(SECOND).await;
    assert!(!handle.health().is_healthy() && handle.health().in_flight.is_empty(), "{:?}", handle.health());
}

#[tokio::test(start_paused = true)]
async fn one_idle_loop_does_not_stop_the_others() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.concurrency(4).parallelism(4).stop_when_empty().deadline(5 * SECOND);
    let report = worker.run(async || sleep(60 * SECOND).await).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.cancelled), (1, 0), "{report}");
}

#[tokio::test(start_paused = true)]
async fn one_idle_loop_waits_for_what_another_puts_back() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.concurrency(4).parallelism(4).stop_when_empty();
    let handler = async |Attempt(attempt): Attempt| {
        sleep(60 * SECOND).await;
        if attempt < 3 { Outcome::retry(Duration::ZERO) } else { Outcome::Ack }
    };
    let report = worker.run(handler).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (2, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn the_last_of_max_messages_has_all_the_time_it_needs() {
    let bench = Bench::new().await;
    bench.fill(5).await;
    for loops in [1, 2] {
        let worker = bench.worker().await.concurrency(2).parallelism(loops).max_messages(2).deadline(5 * SECOND);
        let report = worker.run(async || sleep(60 * SECOND).await).await.unwrap();
        assert!(matches!(report.stopped, StopReason::MaxMessages), "{report}");
        assert_eq!((report.counts.acked, report.counts.cancelled), (2, 0), "{report}");
    }
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_and_max_time_count_for_the_last_of_max_messages_too() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let forever = async || std::future::pending::<()>().await;
    let started = Instant::now();
    let worker = bench.worker().await.max_messages(1).max_time(60 * SECOND).deadline(5 * SECOND);
    assert_eq!(worker.run(forever).await.unwrap().counts.cancelled, 1);
    assert_eq!(started.elapsed().as_secs(), 65);
    let worker = bench.worker().await.max_messages(1).deadline(5 * SECOND);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(forever));
    sleep(60 * SECOND).await;
    assert!(!running.is_finished());
    handle.stop();
    let report = timeout(6 * SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!((report.counts.cancelled, report.counts.released), (1, 1));
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_more_than_a_limit() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let worker = bench.worker().await.max_messages(1).stop_on_error();
    let error = worker.run(async || Err::<(), _>("broken")).await.unwrap_err();
    assert!(matches!(&error.report().unwrap().stopped, StopReason::Handler(text) if text == "broken"));
}

#[tokio::test(start_paused = true)]
async fn a_lower_concurrency_holds_for_what_arrives_next() {
    for loops in [1, 4] {
        let bench = Bench::new().await;
        let worker = bench.worker().await.concurrency(10).parallelism(loops);
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(async || sleep(10 * SECOND).await));
        sleep(SECOND).await;
        handle.set_concurrency(1);
        sleep(SECOND).await;
        bench.fill(10).await;
        sleep(SECOND).await;
        assert_eq!(handle.health().in_flight.len(), 1);
        handle.set_concurrency(10);
        sleep(20 * SECOND).await;
        handle.stop();
        assert_eq!(running.await.unwrap().unwrap().counts.acked, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn times_that_no_clock_measures() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let retry = Retry::exponential(Duration::MAX, Duration::MAX).jitter().attempts(u32::MAX);
    let worker = bench.worker().await.deadline(Duration::MAX).max_time(Duration::MAX).give_up_after(Duration::MAX);
    let worker = worker.layer(retry).layer(Timeout::new(Duration::MAX)).concurrency(usize::MAX).stop_when_empty();
    let report = worker.run(async |body: String| if body == "0" { Err("no") } else { Ok(()) }).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected), (2, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_last_settlement_that_never_succeeds_does_not_hold_the_worker() {
    for loops in [1, 2] {
        let bench = Bench::new().await;
        // Nowhere to park it.
        bench.broker.delete("work.dead").await.unwrap();
        bench.fill(2).await;
        let worker = bench.worker().await.max_messages(1).parallelism(loops).deadline(10 * SECOND);
        let begun = Instant::now();
        let run = worker.run(async || {
            sleep(60 * SECOND).await;
            Err::<(), BoxError>("no".into())
        });
        let report = timeout(120 * SECOND, run).await.expect("it ends").unwrap();
        // The handler has all the time that it needs, and settling has the deadline.
        assert!(begun.elapsed() >= 70 * SECOND, "{report}");
        assert_eq!((report.counts.errors, report.counts.rejected, report.counts.cancelled), (1, 0, 0), "{report}");
        assert_eq!(bench.left().await, (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_last_settlement_waits_for_the_handlers_of_other_loops() {
    let bench = Bench::new().await;
    bench.broker.delete("work.dead").await.unwrap();
    bench.fill(2).await;
    let worker = bench.worker().await.max_messages(2).parallelism(2).deadline(Duration::ZERO);
    let begun = Instant::now();
    let run = worker.run(async |body: String| {
        if body == "0" {
            return Err("no");
        }
        sleep(60 * SECOND).await;
        Ok(())
    });
    // A loop that only looks would keep the clock of this test from going on.
    let report = timeout(120 * SECOND, run).await.expect("it ends").unwrap();
    assert!((60 * SECOND..61 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!((report.counts.errors, report.counts.acked, report.counts.cancelled), (1, 1, 0), "{report}");
}
