//! How a worker stops: what happens to what runs, to what was fetched, and to what cannot be settled.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bench, Seen};
use swarrot::prelude::*;
use swarrot::{Report, StopReason, WorkerError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

type Running = JoinHandle<Result<Report, WorkerError>>;

/// A worker whose handlers take ten seconds each; two are in flight when this returns.
async fn two_in_flight(bench: &Bench, deadline: Duration) -> (WorkerHandle, Running) {
    bench.fill(10).await;
    let worker = bench.worker().await.concurrency(2).prefetch(NonZeroU16::new(6).unwrap()).deadline(deadline);
    let handle = worker.handle();
    let handler = async |State(seen): State<Seen>, body: String| {
        sleep(10 * SECOND).await;
        seen.note(body);
    };
    let running = tokio::spawn(worker.run(handler));
    sleep(SECOND).await;
    assert_eq!(handle.health().in_flight.len(), 2);
    (handle, running)
}

#[tokio::test(start_paused = true)]
async fn what_runs_may_finish_and_what_was_fetched_goes_back_at_once() {
    let bench = Bench::new().await;
    let (handle, running) = two_in_flight(&bench, 30 * SECOND).await;
    handle.stop();
    sleep(SECOND).await;
    assert_eq!(bench.left().await, (8, 0), "while the two still run");
    let stats = bench.broker.stats("work").await.unwrap();
    assert_eq!(stats.unsettled, Some(2));
    let report = running.await.unwrap().unwrap();
    assert!(matches!(report.stopped, StopReason::Handle) && report.is_clean(), "{report}");
    assert_eq!((report.counts.acked, bench.seen.len()), (2, 2));
    assert_eq!(bench.left().await, (8, 0));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cancels_and_gives_back_uncounted() {
    let bench = Bench::new().await;
    let (handle, running) = two_in_flight(&bench, 3 * SECOND).await;
    let stopping = Instant::now();
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!(stopping.elapsed().as_secs(), 3);
    assert_eq!((report.counts.cancelled, report.counts.released, report.counts.acked), (2, 2, 0));
    assert!(!report.is_clean());
    let provider = bench.provider().await;
    let again = provider.receive(std::num::NonZeroUsize::MIN, SECOND).await.unwrap();
    assert_eq!((again[0].attempt(), again[0].delivery_count()), (1, Some(1)), "the attempt did not count");
}

#[tokio::test(start_paused = true)]
async fn cancel_does_not_wait() {
    let bench = Bench::new().await;
    let (handle, running) = two_in_flight(&bench, 30 * SECOND).await;
    let stopping = Instant::now();
    handle.cancel();
    let report = running.await.unwrap().unwrap();
    assert!(stopping.elapsed() < SECOND);
    assert_eq!(report.counts.cancelled, 2);
    assert_eq!(bench.left().await, (10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_handler_can_end_early() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    let handler = async |worker: WorkerHandle| {
        tokio::select! {
            () = worker.stopping() => Outcome::Release,
            () = sleep(3600 * SECOND) => Outcome::Ack,
        }
    };
    let running = tokio::spawn(worker.run(handler));
    sleep(SECOND).await;
    handle.stop();
    let report = timeout(SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!((report.counts.released, report.counts.cancelled), (1, 0));
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_gives_everything_back() {
    let bench = Bench::new().await;
    let (handle, running) = two_in_flight(&bench, 30 * SECOND).await;
    running.abort();
    drop(handle);
    assert!(running.await.unwrap_err().is_cancelled());
    sleep(SECOND).await;
    assert_eq!(bench.left().await, (10, 0));
    assert_eq!(bench.seen.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_park_that_fails_keeps_the_original_until_it_works() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    bench.broker.delete("work.dead").await.unwrap();
    let worker = bench.worker().await;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || Err::<(), _>("always")));
    sleep(60 * SECOND).await;
    assert_eq!(bench.broker.stats("work").await.unwrap().unsettled, Some(1), "held, neither lost nor in a loop");
    bench.broker.declare(&Topology::new().queue(Queue::new("work"))).await.unwrap();
    sleep(60 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.handled, report.counts.rejected), (1, 1));
    assert!(report.counts.settle_failures > 1);
    assert_eq!(bench.left().await, (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_park_that_never_works_gives_the_original_back_at_the_end() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    bench.broker.delete("work.dead").await.unwrap();
    let worker = bench.worker().await.deadline(5 * SECOND);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || Err::<(), _>("always")));
    sleep(SECOND).await;
    handle.stop();
    let report = timeout(60 * SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.counts.rejected, 0);
    assert_eq!(bench.broker.stats("work").await.unwrap().ready, 1);
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_while_a_handler_runs() {
    let bench = Bench::with_lease(10 * SECOND).await;
    bench.fill(1).await;
    let worker = bench.worker().await.stop_when_empty();
    let other = bench.provider().await;
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>| {
        sleep(300 * SECOND).await;
        seen.note("done");
    }));
    sleep(SECOND).await;
    let stolen = other.receive(std::num::NonZeroUsize::MIN, 200 * SECOND).await.unwrap();
    assert!(stolen.is_empty(), "the lease was kept");
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.acked, bench.seen.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_whose_lease_is_lost_counts_as_lost() {
    let bench = Bench::with_lease(10 * SECOND).await;
    bench.fill(1).await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>| {
        seen.note("began");
        sleep(15 * SECOND).await;
        seen.note("ended");
    }));
    sleep(SECOND).await;
    // Another worker is given the message, as after a partition: the queue's state is cut.
    bench.faults().cut();
    sleep(100 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.counts.lost, 1, "{report}");
    assert_eq!(report.counts.acked, 1, "it came again and was handled: {report}");
}

#[tokio::test(start_paused = true)]
async fn temporary_errors_of_the_broker_are_outlived() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>| seen.note("x")));
    sleep(SECOND).await;
    bench.faults().cut();
    sleep(100 * SECOND).await;
    bench.fill(5).await;
    sleep(100 * SECOND).await;
    assert!(handle.health().is_healthy(), "{:?}", handle.health());
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.broker_errors, report.counts.acked), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn two_workers_share_a_queue() {
    let bench = Arc::new(Bench::new().await);
    bench.fill(100).await;
    let run = |bench: Arc<Bench>| async move {
        let handler = async |State(seen): State<Seen>, body: String| {
            sleep(SECOND).await;
            seen.note(body);
        };
        bench.worker().await.concurrency(5).stop_when_empty().run(handler).await.unwrap().counts.acked
    };
    let (one, two) = tokio::join!(tokio::spawn(run(Arc::clone(&bench))), tokio::spawn(run(Arc::clone(&bench))));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one + two, 100);
    assert!(one > 20 && two > 20, "{one} and {two}");
    let mut seen = bench.seen.all();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 100);
}
