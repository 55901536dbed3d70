//! Many at once: several providers of a queue, and several handlers of a worker.

use std::sync::Arc;

use futures_util::future::join_all;
use swarrot_core::{Delivery, Worker};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::run::{Case, Context, Setup, case};
use crate::support::{Gauge, Ledger, PATIENCE, ProviderActions as _, QUIET, Running, bodies, ms, secs};

const GROUP: &str = "concurrency";

pub(super) const CASES: &[Case] = &[
    case!(competing_5000_by_50).long().limit(120),
    case!(in_flight_never_exceeds_limit),
    case!(raise_limit_live),
    case!(lower_limit_live),
    case!(slow_does_not_block_others),
    case!(saturated_then_resumes),
];

async fn competing_5000_by_50(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let mut tasks = Vec::new();
    let done = Arc::new(Notify::new());
    for _ in 0..50 {
        let provider = cx.provider_holding(&*broker, &queue, 10).await;
        let (ledger, done) = (ledger.clone(), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut stop = std::pin::pin!(done.notified());
            let mut mine = 0;
            loop {
                let some = tokio::select! {
                    () = &mut stop => return mine,
                    some = provider.up_to(10, secs(5)) => some.expect("receives"),
                };
                mine += some.len();
                ledger.received_all(&some);
                // Who works for a while leaves the rest to the others.
                sleep(ms(5)).await;
                provider.ack_all(&some).await;
            }
        }));
    }
    // All wait before there is anything, as far as the broker tells: whoever came late would find the queue empty.
    let ready = Instant::now() + secs(10);
    let deadline = ready + PATIENCE * 3;
    while broker.stats(&queue).await.expect("stats").providers.is_some_and(|waiting| waiting < 50)
        && Instant::now() < ready
    {
        sleep(ms(50)).await;
    }
    for batch in bodies("m", 5000).chunks(500) {
        ledger.publish(&*publisher, &queue, batch.to_vec()).await;
    }
    while ledger.outstanding() > 0 {
        assert!(Instant::now() < deadline, "50 providers on 5000 messages: {}", ledger.counts());
        sleep(ms(50)).await;
    }
    sleep(QUIET).await;
    done.notify_waiters();
    let shares: Vec<usize> = join_all(tasks).await.into_iter().map(|task| task.expect("no task fails")).collect();
    assert_eq!(ledger.check().received, 5000);
    let idle = shares.iter().filter(|share| **share == 0).count();
    assert!(idle <= 25, "{idle} of 50 providers got nothing: {shares:?}");
}

/// A handler that counts itself in, notes the delivery, and waits for a pass.
fn held_back(gauge: &Gauge, ledger: &Ledger) -> impl Fn(Delivery) -> HeldBack + Send + Sync + 'static + use<> {
    let (gauge, ledger) = (gauge.clone(), ledger.clone());
    move |delivery| {
        let (gauge, ledger) = (gauge.clone(), ledger.clone());
        Box::pin(async move {
            let _inside = gauge.enter();
            ledger.received(&delivery);
            gauge.wait_for_pass().await;
        })
    }
}

type HeldBack = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn in_flight_never_exceeds_limit(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, bodies("m", 300)).await;
    let worker = Worker::new(provider).concurrency(7).signals_off().stop_when_empty();
    let report = {
        let (gauge, ledger) = (gauge.clone(), ledger.clone());
        Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                let (gauge, ledger) = (gauge.clone(), ledger.clone());
                async move {
                    let _inside = gauge.enter();
                    ledger.received(&delivery);
                    sleep(ms(fastrand::u64(0..10))).await;
                }
            }),
        )
        .ends()
        .await
    };
    assert_eq!(gauge.take_most(), 7, "with a concurrency of 7");
    assert_eq!((report.counts.handled, report.counts.acked), (300, 300), "{report}");
    ledger.check();
}

async fn raise_limit_live(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, bodies("m", 30)).await;
    let worker = Worker::new(provider).concurrency(2).signals_off();
    let running = Running::start(worker.handle(), worker.run(held_back(&gauge, &ledger)));
    gauge.reaches(2).await;
    sleep(QUIET).await;
    assert_eq!(gauge.take_most(), 2, "before the limit is raised from 2 to 6");
    running.handle().set_concurrency(6);
    gauge.reaches(6).await;
    sleep(QUIET).await;
    assert_eq!(gauge.take_most(), 6, "after the limit was raised from 2 to 6");
    gauge.let_through(30);
    all_received(&ledger).await;
    gauge.reaches(0).await;
    let report = running.stop().await;
    assert_eq!(report.counts.acked, 30, "{report}");
    ledger.check();
}

async fn lower_limit_live(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, bodies("m", 30)).await;
    let worker = Worker::new(provider).concurrency(6).signals_off();
    let running = Running::start(worker.handle(), worker.run(held_back(&gauge, &ledger)));
    gauge.reaches(6).await;
    running.handle().set_concurrency(2);
    sleep(QUIET).await;
    assert_eq!(gauge.now(), 6, "what runs when the limit is lowered may finish");
    // The first to leave are not replaced.
    gauge.let_through(4);
    gauge.reaches(2).await;
    gauge.take_most();
    for _ in 0..12 {
        gauge.let_through(2);
        tokio::task::yield_now().await;
    }
    all_received(&ledger).await;
    assert!(gauge.take_most() <= 2, "after the limit was lowered to 2");
    gauge.let_through(30);
    gauge.reaches(0).await;
    let report = running.stop().await;
    assert_eq!((report.counts.acked, report.counts.cancelled), (30, 0), "{report}");
    ledger.check();
}

async fn slow_does_not_block_others(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, ["slow"]).await;
    ledger.publish(&*publisher, &queue, bodies("fast", 100)).await;
    let worker = Worker::new(provider).concurrency(2).signals_off();
    let running = {
        let (gauge, ledger) = (gauge.clone(), ledger.clone());
        Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                let (gauge, ledger) = (gauge.clone(), ledger.clone());
                async move {
                    ledger.received(&delivery);
                    if delivery.body() == "slow" {
                        let _inside = gauge.enter();
                        gauge.wait_for_pass().await;
                    }
                }
            }),
        )
    };
    gauge.reaches(1).await;
    all_received(&ledger).await;
    assert_eq!(gauge.now(), 1, "the slow one still runs");
    gauge.let_through(1);
    gauge.reaches(0).await;
    let report = running.stop().await;
    assert_eq!(report.counts.acked, 101, "{report}");
    ledger.check();
}

async fn saturated_then_resumes(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, bodies("early", 20)).await;
    let worker = Worker::new(provider).concurrency(4).signals_off();
    let running = Running::start(worker.handle(), worker.run(held_back(&gauge, &ledger)));
    gauge.reaches(4).await;
    sleep(secs(5)).await;
    assert_eq!(ledger.counts().received, 4, "with all slots held, nothing more is handled");
    ledger.publish(&*publisher, &queue, bodies("late", 20)).await;
    gauge.let_through(40);
    all_received(&ledger).await;
    gauge.reaches(0).await;
    let report = running.stop().await;
    assert_eq!((report.counts.acked, report.counts.lost), (40, 0), "{report}");
    cx.provider(&*broker, &queue).await.nothing().await;
    ledger.check();
}

/// Waits until all that was confirmed has been received.
async fn all_received(ledger: &Ledger) {
    let waited = timeout(PATIENCE, async {
        while ledger.outstanding() > 0 {
            sleep(ms(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not all came within {PATIENCE:?}: {}", ledger.counts());
}
