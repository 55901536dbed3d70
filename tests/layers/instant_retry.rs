//! `InstantRetry`: again, in place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use swarrot::layer::InstantRetry;
use swarrot::prelude::*;
use tokio::time::Instant;

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_handler_is_called_again_after_a_pause() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt| {
        assert_eq!(attempt, 1, "calls in place are one attempt");
        if CALLS.fetch_add(1, Ordering::SeqCst) < 2 { Err("deadlock") } else { Ok(()) }
    };
    let start = Instant::now();
    let report =
        bench.worker().await.layer(InstantRetry::new(3, 2 * SECOND)).max_messages(1).run(handler).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.errors, start.elapsed().as_secs()), (1, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn the_last_error_goes_to_the_layer_around() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt, State(seen): State<Seen>| {
        seen.note(attempt.to_string());
        Err::<(), _>("down")
    };
    let worker = bench.worker().await.layer(Retry::fixed(60 * SECOND).attempts(2)).layer(InstantRetry::new(3, SECOND));
    let report = worker.max_messages(2).run(handler).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.rejected), (1, 1));
    assert_eq!(bench.seen.all(), ["1", "1", "1", "2", "2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_call_would_not_mend_goes_through_at_once() {
    let errors: [fn() -> BoxError; 2] =
        [|| Permanent::new("550").into(), || RetryAfter::new("429", 60 * SECOND).into()];
    for error in errors {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let handler = move |State(seen): State<Seen>| async move {
            seen.note("called");
            Err::<(), _>(error())
        };
        bench.worker().await.layer(InstantRetry::new(5, SECOND)).max_messages(1).run(handler).await.unwrap();
        assert_eq!((bench.seen.len(), bench.left().await), (1, (0, 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn panics_and_timeouts_count_and_zero_is_one() {
    for (attempts, calls) in [(0, 1), (1, 1), (4, 4)] {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let handler = async |State(seen): State<Seen>| {
            seen.note("called");
            assert!(seen.len() % 2 == 0, "odd");
            std::future::pending::<()>().await;
        };
        let worker = bench.worker().await.layer(InstantRetry::new(attempts, SECOND)).layer(Timeout::new(SECOND));
        worker.max_messages(1).run(handler).await.unwrap();
        assert_eq!(bench.seen.len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_between_two_calls_the_message_goes_back() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.deadline(SECOND).layer(InstantRetry::new(3, 3600 * SECOND));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || Err::<(), _>("down")));
    tokio::time::sleep(60 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.cancelled, report.counts.rejected), (1, 0));
    assert_eq!(bench.left().await, (1, 0));
}
