//! Workers that are held back before they fetch, and duplicates that are recognised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use swarrot_core::gate::{KillSwitch, RateLimit};
use swarrot_core::layer::{Deduplicate, MemoryDedupStore, Retry};
use swarrot_core::{Message, Outgoing, Worker};
use tokio::time::{Instant, sleep};

use crate::run::{Case, Claim::Delay, Context, Need::Claimed, Setup, case};
use crate::support::{
    PATIENCE, ProviderActions as _, PublisherActions as _, QUIET, Running, bodies, ms, poll_times, secs, text,
};

const GROUP: &str = "gates";

pub(super) const CASES: &[Case] = &[
    case!(pause_gives_back),
    case!(pause_until_the_next_receive),
    case!(pause_under_a_receive),
    case!(rate_limit_leaves_messages),
    case!(tripped_switch_leaves_messages).needs(&[Claimed(Delay)]),
    case!(switch_probes_and_goes_on).needs(&[Claimed(Delay)]),
    case!(duplicate_handled_once),
    case!(duplicate_in_progress_waits).needs(&[Claimed(Delay)]).limit(90),
];

/// An hour: longer than any case.
const HOUR: Duration = secs(3600);

async fn pause_gives_back(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let paused = cx.provider_holding(&*broker, &queue, 10).await;
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    let held = paused.one().await;
    paused.pause().await.expect("pauses");
    paused.pause().await.expect("pauses twice");
    let other = cx.provider_holding(&*broker, &queue, 20).await;
    let mut came: Vec<_> = other.take_acked(9).await.iter().map(text).collect();
    came.sort();
    assert_eq!(came, bodies("m", 10)[1..], "all but the one that was handed out");
    paused.ack(&held).await;
    other.nothing().await;
}

async fn pause_until_the_next_receive(cx: &Context) {
    let Setup { broker, queue, publisher, provider: paused } = cx.setup().await;
    paused.pause().await.expect("pauses before anything was asked");
    publisher.send_body(&queue, "first").await;
    assert_eq!(paused.one_acked().await.body(), "first");
    paused.pause().await.expect("pauses");
    publisher.send_bodies(&queue, bodies("m", 5)).await;
    // Time enough to be fetched by a provider that does not pause.
    sleep(QUIET).await;
    let other = cx.provider_holding(&*broker, &queue, 5).await;
    other.take_acked(5).await;
    other.close().await.expect("closes");
    publisher.send_bodies(&queue, bodies("again", 5)).await;
    paused.take_acked(5).await;
    paused.nothing().await;
}

async fn pause_under_a_receive(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    provider.nothing().await;
    let mut waiting = std::pin::pin!(provider.one_acked());
    assert!(poll_times(100, waiting.as_mut()).await.is_none());
    provider.pause().await.expect("pauses");
    publisher.send_body(&queue, "comes").await;
    assert_eq!(waiting.await.body(), "comes");
}

/// A worker whose handler counts, and fails while this is false.
fn counting(worker: Worker, works: &Arc<AtomicBool>, calls: &Arc<AtomicUsize>, retry_after: Duration) -> Running {
    let (works, calls) = (Arc::clone(works), Arc::clone(calls));
    let worker = worker.signals_off().layer(Retry::fixed(retry_after).attempts(u32::MAX));
    Running::start(
        worker.handle(),
        worker.run(move || {
            calls.fetch_add(1, Ordering::SeqCst);
            let works = works.load(Ordering::SeqCst);
            async move { if works { Ok(()) } else { Err("the server is down") } }
        }),
    )
}

async fn reaches(calls: &AtomicUsize, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while calls.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < deadline, "{} of {count} calls", calls.load(Ordering::SeqCst));
        sleep(ms(10)).await;
    }
}

async fn rate_limit_leaves_messages(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    let (works, calls) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let worker = Worker::new(provider).concurrency(4).gate(RateLimit::per(2, 2 * HOUR).burst(2));
    let running = counting(worker, &works, &calls, HOUR);
    reaches(&calls, 2).await;
    sleep(QUIET).await;
    let health = running.handle().health();
    assert!(health.held.is_some() && health.in_flight.is_empty() && health.is_healthy(), "{health:?}");
    let report = running.stop().await;
    assert_eq!((report.counts.handled, report.counts.acked, report.counts.released), (2, 2, 0), "{report}");
    cx.provider(&*broker, &queue).await.take_acked(8).await;
}

async fn tripped_switch_leaves_messages(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 20)).await;
    let (works, calls) = (Arc::default(), Arc::default());
    let switch = Arc::new(KillSwitch::new().failures(3).pause(HOUR));
    let worker = Worker::new(provider).concurrency(3).gate(Arc::clone(&switch));
    let running = counting(worker, &works, &calls, HOUR);
    reaches(&calls, 3).await;
    // Others may have them now, those that this worker had fetched in advance too.
    let other = cx.provider_holding(&*broker, &queue, 30).await;
    let handled = calls.load(Ordering::SeqCst);
    other.take_acked(20 - handled).await;
    assert!(switch.is_tripped() && handled < 7, "{handled} handled; {switch:?}");
    assert_eq!(calls.load(Ordering::SeqCst), handled);
    publisher.send_body(&queue, "late").await;
    assert_eq!(other.one_acked().await.body(), "late");
    let report = running.stop().await;
    assert_eq!((report.counts.handled, report.counts.released), (handled as u64, 0), "{report}");
}

async fn switch_probes_and_goes_on(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 20)).await;
    let (works, calls) = (Arc::default(), Arc::default());
    let switch = Arc::new(KillSwitch::new().failures(2).pause(ms(300)).max_pause(ms(300)));
    let worker = Worker::new(provider).concurrency(2).gate(Arc::clone(&switch));
    let running = counting(worker, &works, &calls, ms(100));
    // Two or so trip it, and a few probes fail.
    reaches(&calls, 5).await;
    assert!(switch.trips() >= 2 && switch.is_tripped(), "{switch:?}");
    works.store(true, Ordering::SeqCst);
    let failed = calls.load(Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    while running.handle().health().counts.acked < 20 {
        assert!(Instant::now() < deadline, "{:?} {switch:?}", running.handle().health());
        sleep(ms(20)).await;
    }
    assert!(!switch.is_tripped(), "{switch:?}");
    let report = running.stop().await;
    assert!(report.counts.retried.abs_diff(failed as u64) <= 1, "{failed} had failed; {report}");
    cx.provider(&*broker, &queue).await.nothing().await;
}

/// Publishes a message of this id twice.
async fn publish_twice(cx: &Context, id: &str) -> (Setup, Deduplicate) {
    let setup = cx.setup().await;
    for _ in 0..2 {
        setup.publisher.send(Outgoing::new(&setup.queue, Message::new("order").id(id))).await;
    }
    (setup, Deduplicate::new(Arc::new(MemoryDedupStore::default())))
}

async fn duplicate_handled_once(cx: &Context) {
    let (Setup { broker, queue, publisher, provider }, once) = publish_twice(cx, "order-7").await;
    publisher.send(Outgoing::new(&queue, Message::new("order").id("order-8"))).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let worker = Worker::new(provider).signals_off().layer(once).max_messages(3);
    let counts = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let report = Running::start(worker.handle(), worker.run(counts)).ends().await;
    assert_eq!((report.counts.acked, calls.load(Ordering::SeqCst)), (3, 2), "{report}");
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn duplicate_in_progress_waits(cx: &Context) {
    let (Setup { broker, queue, provider, .. }, once) = publish_twice(cx, "order-7").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let worker = Worker::new(provider).signals_off().concurrency(2).layer(once.lease(secs(2)));
    // Three leases long, so that the claim has to be renewed.
    let slow = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        sleep(secs(6))
    };
    let running = Running::start(worker.handle(), worker.run(slow));
    let deadline = Instant::now() + PATIENCE * 2;
    while running.handle().health().counts.acked < 2 {
        assert!(Instant::now() < deadline, "{:?}", running.handle().health());
        sleep(ms(20)).await;
    }
    let report = running.stop().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "{report}");
    assert!((1..10).contains(&report.counts.retried), "{report}");
    cx.provider(&*broker, &queue).await.nothing().await;
}
