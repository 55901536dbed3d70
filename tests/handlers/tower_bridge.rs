//! Layers and services of tower's around our handlers, and our handlers as services.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Bench, Seen};
use swarrot::prelude::*;
use swarrot::tower::{HandlerService, ServiceHandler, TowerLayer};
use swarrot::{Context, Handler, IntoHandler, Receipt};
use tokio::time::{Instant, sleep};
use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn delivery(body: &'static str) -> Delivery {
    Delivery::new("q", Receipt::new(0, 1), Message::new(body))
}

#[tokio::test(start_paused = true)]
async fn towers_time_out_is_an_error_that_our_retry_sees() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let slow_once = async |Attempt(attempt): Attempt, State(seen): State<Seen>| {
        if attempt == 1 {
            sleep(60 * SECOND).await;
        }
        seen.note(attempt.to_string());
    };
    let worker = bench.worker().await.max_messages(2);
    let worker = worker.layer(Retry::fixed(SECOND)).layer(TowerLayer::new(TimeoutLayer::new(5 * SECOND)));
    let report = worker.run(slow_once).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (1, 1));
    assert_eq!(bench.seen.all(), ["2"], "the first was cancelled");
}

#[tokio::test(start_paused = true)]
async fn towers_concurrency_limit_holds_and_nothing_is_lost() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let bench = Bench::new().await;
    bench.fill(20).await;
    let handler = async || {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(SECOND).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    };
    let start = Instant::now();
    let worker = bench.worker().await.concurrency(10).max_messages(20);
    let report = worker.run(handler.layer(TowerLayer::new(ConcurrencyLimitLayer::new(4)))).await.unwrap();
    assert_eq!((report.counts.acked, MOST.load(Ordering::SeqCst)), (20, 4));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn towers_load_shed_refuses_what_is_too_much() {
    let bench = Bench::new().await;
    bench.fill(5).await;
    let shed = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(2));
    let worker = bench.worker().await.concurrency(5).layer(TowerLayer::new(shed)).max_messages(5);
    let report = worker.run(async || sleep(SECOND).await).await.unwrap();
    assert_eq!((report.counts.acked, report.counts.rejected, report.counts.errors), (2, 3, 3));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert_eq!(reason, "service overloaded");
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_what_waits_for_a_limit() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let limit = TowerLayer::new(ConcurrencyLimitLayer::new(1));
    let worker = bench.worker().await.concurrency(3).deadline(SECOND).layer(limit);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || std::future::pending::<()>().await));
    sleep(SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.cancelled, report.counts.released), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_is_an_error_outside() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.layer(TowerLayer::new(TimeoutLayer::new(SECOND))).max_messages(1);
    let report = worker.run(async |body: String| assert!(body.is_empty(), "boom")).await.unwrap();
    assert_eq!((report.counts.panics, report.counts.rejected), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_a_service_with_anything_of_towers_around() {
    let handler = async |body: String| if body == "bad" { Err("bad") } else { Ok(()) };
    let service = HandlerService::new(handler.into_handler(&Context::new()).unwrap());
    assert_eq!(service.clone().oneshot(delivery("good")).await.unwrap(), Outcome::Ack);
    assert_eq!(service.clone().oneshot(delivery("bad")).await.unwrap_err().to_string(), "bad");
    // One that is not `Clone`, used by itself.
    let mut limited = ServiceBuilder::new()
        .layer(RateLimitLayer::new(1, 10 * SECOND))
        .layer(TimeoutLayer::new(SECOND))
        .map_response(|outcome| format!("{outcome:?}"))
        .service(service);
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(limited.ready().await.unwrap().call(delivery("good")).await.unwrap(), "Ack");
    }
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_service_is_a_handler_and_may_return_what_handlers_return() {
    let service = tower::service_fn(async |delivery: Delivery| match delivery.body().as_ref() {
        b"fail" => Err("failed"),
        b"no" => Ok(Err(Permanent::new("no"))),
        _ => Ok(Ok(())),
    });
    let handler = ServiceHandler::new(BoxCloneSyncService::new(service));
    assert_eq!(handler.handle(delivery("yes")).await.unwrap(), Outcome::Ack);
    assert_eq!(handler.handle(delivery("fail")).await.unwrap_err().to_string(), "failed");
    assert!(Permanent::is(&*handler.handle(delivery("no")).await.unwrap_err()));
}
