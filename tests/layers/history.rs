//! The history of a message's failures: through retries, parking and redrives.

use std::time::Duration;

use swarrot::message::Failure;
use swarrot::prelude::*;

use crate::support::Bench;

const MINUTE: Duration = Duration::from_secs(60);

async fn fails_three_times(bench: &Bench, what: &'static str) {
    let handler = move |Attempt(attempt): Attempt| async move { Err::<(), _>(format!("{what} {attempt}")) };
    bench.worker().await.layer(Retry::fixed(10 * MINUTE).attempts(3)).max_messages(3).run(handler).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_outlives_retries_parking_and_a_redrive() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let start = swarrot::unix_time();
    fails_three_times(&bench, "down").await;
    let parked = bench.parked().await.remove(0);
    bench.publisher.publish_one(Outgoing::redrive(&parked).unwrap()).await.unwrap();
    fails_three_times(&bench, "still down").await;

    let failure = bench.parked().await.remove(0).message().failure().unwrap();
    let reasons: Vec<_> = failure.history.iter().map(|failed| (failed.attempt, failed.reason.as_str())).collect();
    let expected = ["down 1", "down 2", "down 3", "still down 1", "still down 2", "still down 3"];
    assert_eq!(reasons, [1, 2, 3, 1, 2, 3].into_iter().zip(expected).collect::<Vec<_>>());
    // Ten minutes apart, on the clock of the test.
    let minutes: Vec<_> = failure.history.iter().map(|failed| (failed.at - start) / 60).collect();
    assert_eq!(minutes, [0, 10, 20, 20, 30, 40]);
    assert_eq!((failure.first_at, failure.last_at), (Some(failure.history[0].at), Some(failure.history[5].at)));
    assert_eq!((failure.attempts, failure.reason.as_deref()), (3, Some("still down 3")));
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_last_failures_of_many_large_ones() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt| Err::<(), _>(format!("{attempt} {}", "long ".repeat(10_000)));
    let worker = bench.worker().await.layer(Retry::fixed(MINUTE).attempts(40));
    let report = worker.max_messages(40).run(handler).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.rejected), (39, 1), "no header was ever over a limit");
    let parked = bench.parked().await.remove(0);
    let history = parked.message().failure().unwrap().history;
    assert_eq!(history.len(), Failure::MAX_HISTORY);
    assert_eq!((history[0].attempt, history[9].attempt), (31, 40));
    assert!(history.iter().all(|failed| failed.reason.len() <= Failure::MAX_HISTORY_REASON));
}

#[tokio::test(start_paused = true)]
async fn a_message_with_all_the_headers_it_may_have_is_retried() {
    let bench = Bench::new().await;
    let full = (0..64).fold(Message::new(""), |message, n| message.header(format!("h{n}"), n));
    bench.publisher.publish_one(Outgoing::new("work", full)).await.unwrap();
    fails_three_times(&bench, "down").await;
    let parked = bench.parked().await.remove(0);
    assert_eq!(parked.message().failure().unwrap().reason.as_deref(), Some("down 3"));
}
