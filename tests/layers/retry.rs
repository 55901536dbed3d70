//! `Retry`: which delays, how often, for how long, and for which errors.

use std::io;
use std::time::Duration;

use swarrot::message::names;
use swarrot::prelude::*;
use swarrot::{Report, Value};
use tokio::time::Instant;

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Runs a handler that always fails until its messages are parked. It notes when it is called, in seconds.
async fn fail(bench: &Bench, retry: Retry, error: fn() -> BoxError) -> (Report, Vec<String>) {
    let start = Instant::now();
    let worker = bench.worker().await.layer(retry);
    let handle = worker.handle();
    let handler = move |State(seen): State<Seen>| async move {
        seen.note(start.elapsed().as_secs().to_string());
        Err::<(), _>(error())
    };
    let running = tokio::spawn(worker.run(handler));
    while bench.left().await.1 == 0 {
        tokio::time::sleep(SECOND).await;
    }
    handle.stop();
    (running.await.unwrap().unwrap(), bench.seen.all())
}

async fn publish(bench: &Bench, message: Message) {
    bench.publisher.publish_one(Outgoing::new("work", message)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sidekiqs_delays_grow() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let (report, at) = fail(&bench, Retry::polynomial().jitter_percent(0).attempts(5), || "down".into()).await;
    assert_eq!((report.counts.retried, report.counts.rejected), (4, 1));
    assert_eq!(at, ["0", "15", "31", "62", "158"], "15, 16, 31 and 96 s apart");
}

#[tokio::test(start_paused = true)]
async fn jitter_parts_messages_that_failed_together() {
    let bench = Bench::new().await;
    bench.fill(100).await;
    let start = Instant::now();
    let handler = move |Attempt(attempt): Attempt, State(seen): State<Seen>| async move {
        if attempt == 1 {
            return Err("down");
        }
        seen.note(start.elapsed().as_secs().to_string());
        Ok(())
    };
    let worker = bench.worker().await.concurrency(100).layer(Retry::fixed(100 * SECOND).full_jitter());
    worker.max_messages(200).run(handler).await.unwrap();
    let mut seconds = bench.seen.all();
    seconds.dedup();
    assert!(seconds.len() > 30, "{seconds:?}");
    assert!(seconds.iter().all(|at| at.parse::<u64>().unwrap() <= 100), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_names_its_delay_within_the_attempts() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let too_many = || RetryAfter::new("429 too many requests", 90 * SECOND).into();
    let (report, at) = fail(&bench, Retry::fixed(SECOND).jitter().attempts(3), too_many).await;
    assert_eq!((report.counts.retried, at), (2, vec!["0".to_owned(), "90".to_owned(), "180".to_owned()]));
    let failure = bench.parked().await[0].message().failure().unwrap();
    assert_eq!((failure.attempts, failure.reason.as_deref()), (3, Some("429 too many requests")));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_names_its_delay_beyond_the_attempts() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |Attempt(attempt): Attempt| match attempt {
        1..=9 => Outcome::retry(90 * SECOND),
        _ => Outcome::Ack,
    };
    let start = Instant::now();
    let report =
        bench.worker().await.layer(Retry::fixed(SECOND).attempts(2)).max_messages(10).run(handler).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked, start.elapsed().as_secs()), (9, 1, 9 * 90));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_parked_at_once() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let unknown = || RetryAfter::new(Permanent::new("550 no such user"), SECOND).into();
    let (report, at) = fail(&bench, Retry::fixed(SECOND), unknown).await;
    assert_eq!((report.counts.retried, report.counts.rejected, at.len()), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn errors_have_schedules_by_their_class() {
    #[derive(Debug, thiserror::Error)]
    #[error("not sent")]
    struct NotSent(#[source] io::Error);
    let bench = Bench::new().await;
    for kind in ["io", "parse", "other"] {
        publish(&bench, Message::new(kind)).await;
    }
    let retry = Retry::fixed(MINUTE)
        .attempts(2)
        .on::<io::Error>(Retry::fixed(SECOND).attempts(4))
        .on::<std::num::ParseIntError>(Retry::never());
    let handler = async |kind: String, State(seen): State<Seen>| -> Result<(), BoxError> {
        seen.note(kind.clone());
        match kind.as_str() {
            "io" => Err(NotSent(io::Error::other("busy")).into()),
            "parse" => Err("x".parse::<u32>().unwrap_err().into()),
            _ => Err("other".into()),
        }
    };
    bench.worker().await.layer(retry).max_messages(4 + 1 + 2).run(handler).await.unwrap();
    let times = |kind: &str| bench.seen.all().iter().filter(|seen| *seen == kind).count();
    assert_eq!((times("io"), times("parse"), times("other")), (4, 1, 2));
    assert_eq!(bench.left().await, (0, 3));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_tells_the_age_of_what_has_no_timestamp() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let retry = Retry::fixed(10 * MINUTE).attempts(1000).max_age(60 * MINUTE);
    let (report, at) = fail(&bench, retry, || "down".into()).await;
    // A seventh retry would come back an hour after the first failure, or a moment later.
    assert!((5..=6).contains(&report.counts.retried), "{report}");
    assert_eq!(at[..3], ["0", "600", "1200"]);
    assert_eq!(bench.parked().await[0].message().failure().unwrap().attempts, u32::try_from(at.len()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_timestamp_tells_the_age_where_there_is_one() {
    let bench = Bench::new().await;
    let mut old = Message::new("old");
    old.properties.timestamp = Some(swarrot::unix_time() - 3500);
    publish(&bench, old).await;
    let retry = || Retry::fixed(MINUTE).attempts(1000).max_age(60 * MINUTE);
    let (report, _) = fail(&bench, retry(), || "down".into()).await;
    assert_eq!((report.counts.retried, report.counts.rejected), (1, 1), "100 s are left");

    // A redriven message has all the time again.
    let parked = bench.parked().await.remove(0);
    bench.publisher.publish_one(Outgoing::redrive(&parked).unwrap()).await.unwrap();
    let (report, _) = fail(&bench, retry(), || "down".into()).await;
    assert!((58..=60).contains(&report.counts.retried), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_backend_is_parked_with_the_reason() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let (report, _) = fail(&bench, Retry::fixed(Duration::MAX), || "down".into()).await;
    assert_eq!((report.counts.retried, report.counts.rejected), (0, 1));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.starts_with("it cannot be retried") && reason.ends_with("down"), "{reason}");
}

/// PHP Swarrot's count goes on here, whatever its client made of the number.
#[tokio::test(start_paused = true)]
async fn a_count_that_others_began_goes_on() {
    for count in [Value::Int(2), Value::from("2"), Value::Float(2.0)] {
        let bench = Bench::new().await;
        let message = Message::new("").header(names::RETRY_ATTEMPTS, count);
        bench.publisher.publish_one(Outgoing::copy("work", message)).await.unwrap();
        let (report, _) = fail(&bench, Retry::fixed(SECOND).attempts(4), || "down".into()).await;
        assert_eq!((report.counts.retried, report.counts.rejected), (1, 1));
        let history = bench.parked().await[0].message().failure().unwrap().history;
        let attempts: Vec<_> = history.iter().map(|failed| failed.attempt).collect();
        assert_eq!(attempts, [3, 4]);
    }
}
