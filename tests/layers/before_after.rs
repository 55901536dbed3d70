//! `BeforeAfter`: hooks around each message.

use std::time::Duration;

use swarrot::layer::{BeforeAfter, BeforeFailed};
use swarrot::prelude::*;
use tower_layer::Layer;

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);

/// Notes what each hook is told.
#[expect(clippy::type_complexity, reason = "two closures")]
fn noting(
    seen: &Seen,
) -> BeforeAfter<
    impl Fn(Delivery) -> std::future::Ready<Result<(), BoxError>> + Clone + use<>,
    impl Fn(Delivery, Option<Outcome>) -> std::future::Ready<()> + Clone + use<>,
> {
    let (before, after) = (seen.clone(), seen.clone());
    BeforeAfter::new()
        .before(move |delivery: Delivery| {
            before.note(format!("before {}", String::from_utf8_lossy(delivery.body())));
            std::future::ready(Ok::<_, BoxError>(()))
        })
        .after(move |delivery: Delivery, outcome: Option<Outcome>| {
            after.note(format!("after {} {outcome:?}", String::from_utf8_lossy(delivery.body())));
            std::future::ready(())
        })
}

#[tokio::test(start_paused = true)]
async fn they_run_around_success_error_and_panic() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let handler = async |body: String| match body.as_str() {
        "0" => Ok(()),
        "1" => Err("no"),
        _ => panic!("boom"),
    };
    let hooks = noting(&bench.seen);
    let report = bench.worker().await.layer(hooks).max_messages(3).run(handler).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected, report.counts.panics), (1, 2, 1));
    let expected = ["before 0", "after 0 Some(Ack)", "before 1", "after 1 None", "before 2", "after 2 None"];
    assert_eq!(bench.seen.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_layer_within_is_passed_on_after_the_hook() {
    struct Panicking;
    impl<H> Layer<H> for Panicking {
        type Service = Panics;
        fn layer(&self, _: H) -> Panics {
            Panics
        }
    }
    struct Panics;
    impl swarrot::Handler for Panics {
        async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
            panic!("a layer's")
        }
    }
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.layer(noting(&bench.seen)).layer(Panicking);
    let report = worker.max_messages(1).run(async || {}).await.unwrap();
    assert_eq!((report.counts.panics, report.counts.rejected), (1, 1));
    assert_eq!(bench.seen.all(), ["before 0", "after 0 None"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_is_retried_by_its_own_schedule() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let (seen, again) = (bench.seen.clone(), bench.seen.clone());
    let hooks = BeforeAfter::new()
        .before(move |_: Delivery| {
            seen.note("before");
            let times = seen.len();
            async move {
                assert_ne!(times, 2, "a panic before is a failure before");
                if times < 4 { Err("the database is gone") } else { Ok(()) }
            }
        })
        .after(move |_: Delivery, _: Option<Outcome>| {
            again.note("after");
            async {}
        });
    let retry = Retry::never().on::<BeforeFailed>(Retry::fixed(5 * SECOND).attempts(100));
    let worker = bench.worker().await.layer(retry).layer(hooks).max_messages(4);
    let report = worker.run(async |Attempt(attempt): Attempt| assert_eq!(attempt, 4)).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (3, 1));
    assert_eq!(
        bench.seen.all(),
        ["before", "before", "before", "before", "after"],
        "after runs only if before went well"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_retry_a_failure_before_parks_with_its_reason() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let hooks = BeforeAfter::new().before(async |_: Delivery| Err::<(), _>("the pool is empty"));
    bench
        .worker()
        .await
        .layer(hooks)
        .max_messages(1)
        .run(async |State(seen): State<Seen>| seen.note("handled"))
        .await
        .unwrap();
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert_eq!(reason, "the hook before the handler failed: the pool is empty");
    assert_eq!(bench.seen.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_does_not_undo_the_work() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let hooks = BeforeAfter::new().after(async |_: Delivery, _: Option<Outcome>| panic!("boom"));
    let report = bench.worker().await.layer(hooks).max_messages(2).run(async || {}).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.panics), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_within_is_an_error_and_one_around_cancels_the_hook() {
    for (within, notes) in [(true, 2), (false, 1)] {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let hang = async || std::future::pending::<()>().await;
        let worker = bench.worker().await.max_messages(1);
        let report = if within {
            worker.layer(noting(&bench.seen)).layer(Timeout::new(SECOND)).run(hang).await.unwrap()
        } else {
            worker.layer(Timeout::new(SECOND)).layer(noting(&bench.seen)).run(hang).await.unwrap()
        };
        assert_eq!((report.counts.rejected, bench.seen.len()), (1, notes));
    }
}
