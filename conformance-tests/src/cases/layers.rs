//! Layers that look at what a backend keeps of a message: how often and why it failed, how old it is.

use std::time::Duration;

use swarrot_core::layer::{MaxAge, MaxDeliveries, Retry};
use swarrot_core::message::{Failure, names};
use swarrot_core::{Attempt, Delivery, Message, Outcome, Outgoing, Report, RetryAfter, Value, Worker, unix_time};
use tokio::time::Instant;

use crate::run::{Case, Claim::DeadLetter, Claim::Delay, Claim::DeliveryCount, Context, Need::Claimed, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, Running, ms, secs};

const GROUP: &str = "layers";

pub(super) const CASES: &[Case] = &[
    case!(history_of_failures).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(count_of_another_client).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(error_names_its_delay).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(max_deliveries_by_broker_count).needs(&[Claimed(DeadLetter), Claimed(DeliveryCount)]),
    case!(max_deliveries_by_header).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(max_age_by_timestamp).needs(&[Claimed(DeadLetter)]),
    case!(max_age_by_first_failure).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
];

/// A queue with one message, and a worker for it that leaves signals alone.
async fn worker_for(cx: &Context, message: Message) -> (Setup, Worker) {
    let setup = cx.setup().await;
    setup.publisher.send(Outgoing::copy(&setup.queue, message)).await;
    let worker = Worker::new(setup.provider.clone()).signals_off();
    (setup, worker)
}

/// Waits until the one message is parked, and stops the worker: what the parked one says, and the report.
async fn parked(cx: &Context, setup: &Setup, running: Running) -> (Delivery, Failure, Report) {
    let dead = cx.provider(&*setup.broker, &names::dead_letter_queue(&setup.queue)).await;
    let parked = dead.one_acked().await;
    let report = running.stop().await;
    let failure = parked.message().failure().unwrap_or_else(|| panic!("a parked message says why: {parked:?}"));
    (parked, failure, report)
}

/// The attempts and reasons of a history.
fn told(failure: &Failure) -> Vec<(u32, &str)> {
    failure.history.iter().map(|failed| (failed.attempt, failed.reason.as_str())).collect()
}

/// Fails, and says on which attempt.
async fn fail(Attempt(attempt): Attempt) -> Result<(), String> {
    Err(format!("busy {attempt}: größe"))
}

async fn history_of_failures(cx: &Context) {
    let start = unix_time();
    let retry = || Retry::fixed(ms(100)).attempts(2);
    let (setup, worker) = worker_for(cx, Message::new("hopeless")).await;
    let running = Running::start(worker.handle(), worker.layer(retry()).run(fail));
    let (dead, failure, _) = parked(cx, &setup, running).await;
    let first = [(1, "busy 1: größe"), (2, "busy 2: größe")];
    assert_eq!((told(&failure), failure.attempts), (first.to_vec(), 2));

    // It is still there after a redrive, by another worker.
    setup.publisher.send(Outgoing::redrive(&dead).expect("it says where it came from")).await;
    let worker = Worker::new(cx.provider(&*setup.broker, &setup.queue).await).signals_off();
    let running = Running::start(worker.handle(), worker.layer(retry()).run(fail));
    let (_, failure, _) = parked(cx, &setup, running).await;
    assert_eq!((told(&failure), failure.attempts), ([first, first].concat(), 2));
    let times: Vec<_> = failure.history.iter().map(|failed| failed.at).collect();
    assert!(times.is_sorted() && times[0] >= start && times[3] <= unix_time(), "{times:?}");
    assert_eq!((failure.first_at, failure.last_at), (Some(times[0]), Some(times[3])));
}

/// What PHP Swarrot's `RetryProcessor` has tried twice is tried for the third time here, and what it adds up to can be
/// counted on there: a whole number.
async fn count_of_another_client(cx: &Context) {
    for count in [Value::Int(2), Value::from("2")] {
        let message = Message::new("tried twice").header(names::RETRY_ATTEMPTS, count).header("own", "stays");
        let (setup, worker) = worker_for(cx, message).await;
        let retry = Retry::fixed(ms(100)).attempts(4);
        let running = Running::start(
            worker.handle(),
            worker.layer(retry).run(async |delivery: Delivery| {
                if delivery.attempt() > 3 {
                    let count = delivery.headers().get(names::RETRY_ATTEMPTS);
                    return Err(format!("{count:?} {:?}", delivery.headers().get("own")));
                }
                fail(Attempt(delivery.attempt())).await
            }),
        );
        let (_, failure, report) = parked(cx, &setup, running).await;
        assert_eq!(told(&failure), [(3, "busy 3: größe"), (4, "Some(Int(3)) Some(String(\"stays\"))")]);
        assert_eq!((report.counts.retried, report.counts.rejected, failure.attempts), (1, 1, 4), "{report}");
    }
}

async fn error_names_its_delay(cx: &Context) {
    let (setup, worker) = worker_for(cx, Message::new("429")).await;
    let start = Instant::now();
    // Its own delays would take half a minute.
    let retry = Retry::fixed(secs(15)).attempts(3);
    let running = Running::start(
        worker.handle(),
        worker.layer(retry).run(async || Err::<(), _>(RetryAfter::new("429", ms(500)))),
    );
    let (_, _, report) = parked(cx, &setup, running).await;
    assert_eq!(report.counts.retried, 2, "{report}");
    assert!((ms(1000)..secs(10)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

async fn max_deliveries_by_broker_count(cx: &Context) {
    let (setup, worker) = worker_for(cx, Message::new("again and again")).await;
    let running = Running::start(worker.handle(), worker.layer(MaxDeliveries::new(3)).run(async || Outcome::Requeue));
    let (_, failure, report) = parked(cx, &setup, running).await;
    assert_eq!((report.counts.requeued, report.counts.rejected), (2, 1), "{report}");
    assert_eq!(failure.reason.as_deref(), Some("delivered 3 times, the limit is 3"));
}

async fn max_deliveries_by_header(cx: &Context) {
    let (setup, worker) = worker_for(cx, Message::new("later and later")).await;
    let worker = worker.layer(MaxDeliveries::new(3)).layer(Retry::fixed(ms(100)).attempts(100));
    let running = Running::start(worker.handle(), worker.run(fail));
    let (_, failure, report) = parked(cx, &setup, running).await;
    assert_eq!((report.counts.retried, report.counts.rejected), (2, 1), "{report}");
    assert_eq!(failure.reason.as_deref(), Some("delivered 3 times, the limit is 3: busy 3: größe"));
}

async fn max_age_by_timestamp(cx: &Context) {
    let mut old = Message::new("old");
    old.properties.timestamp = Some(unix_time() - 1000);
    let (setup, worker) = worker_for(cx, old).await;
    let running = Running::start(worker.handle(), worker.layer(MaxAge::new(secs(900))).run(fail));
    let (parked, failure, report) = parked(cx, &setup, running).await;
    assert_eq!((report.counts.handled, report.counts.errors), (1, 0), "{report}");
    let reason = failure.reason.expect("a reason");
    assert!(reason.contains("old, the limit is 900s: busy 1"), "{reason}");
    let age = parked.age().expect("it has a timestamp");
    assert!((secs(1000)..secs(1000) + Duration::from_secs(300)).contains(&age), "{age:?}");
}

async fn max_age_by_first_failure(cx: &Context) {
    let (setup, worker) = worker_for(cx, Message::new("without a timestamp")).await;
    let worker = worker.layer(Retry::fixed(ms(1500)).attempts(100).max_age(secs(4)));
    let running = Running::start(worker.handle(), worker.run(fail));
    let (_, failure, report) = parked(cx, &setup, running).await;
    // After 0, 1.5 and 3 s; on a busy machine once less, and with the seconds cut to whole ones perhaps once more.
    assert!((1..=3).contains(&report.counts.retried), "{report}");
    assert_eq!(failure.attempts, u32::try_from(report.counts.retried).expect("a few") + 1);
}
