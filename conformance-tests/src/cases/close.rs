//! Closing and stopping: nothing lost, nothing counted, nothing left behind.

use std::sync::Arc;

use futures_util::future::join_all;
use swarrot_core::{ConnectionState, Delivery, ErrorKind, Worker};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::run::{Case, Context, Setup, case};
use crate::support::{Gauge, PATIENCE, ProviderActions as _, PublisherActions as _, Running, bodies, ms, secs, text};

const GROUP: &str = "close_and_shutdown";

pub(super) const CASES: &[Case] = &[
    case!(close_idempotent_concurrent),
    case!(drain_finishes_current),
    case!(deadline_aborts),
    case!(restart_same_worker),
    case!(publisher_flushes_on_close),
    case!(no_leaked_tasks).faulty(),
];

async fn close_idempotent_concurrent(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 5)).await;
    provider.take(2).await;
    let closing = join_all((0..15).map(|i| {
        let (broker, publisher, provider) = (Arc::clone(&broker), Arc::clone(&publisher), Arc::clone(&provider));
        tokio::spawn(async move {
            match i % 3 {
                0 => provider.close().await,
                1 => publisher.close().await,
                _ => broker.close().await,
            }
        })
    }));
    for result in timeout(PATIENCE, closing).await.expect("no close hangs") {
        result.expect("no close panics").expect("to close what is closed, or being closed, is no error");
    }
    assert_eq!(provider.connection(), ConnectionState::Closed);
    assert_eq!(provider.up_to(1, secs(1)).await.map_err(|e| e.kind()).err(), Some(ErrorKind::Closed));
    let broker = cx.connect().await;
    let other = cx.provider(&*broker, &queue).await;
    other.take_acked(5).await;
    other.nothing().await;
}

async fn drain_finishes_current(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let (gauge, ledger) = (Gauge::new(), cx.ledger());
    ledger.publish(&*publisher, &queue, bodies("m", 20)).await;
    let prefetch = 10.try_into().expect("not zero");
    let worker = Worker::new(provider).concurrency(2).prefetch(prefetch).signals_off();
    let running = {
        let (gauge, ledger) = (gauge.clone(), ledger.clone());
        Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                let (gauge, ledger) = (gauge.clone(), ledger.clone());
                async move {
                    let _inside = gauge.enter();
                    gauge.wait_for_pass().await;
                    ledger.received(&delivery);
                }
            }),
        )
    };
    gauge.reaches(2).await;
    running.handle().stop();
    // While the two still run: what was fetched for later is free for others at once, and counts as no attempt.
    let other = cx.provider(&*broker, &queue).await;
    let rest = other.take(18).await;
    assert!(rest.iter().all(|delivery| delivery.attempt() == 1));
    assert_eq!(gauge.now(), 2, "the two that ran when the worker was told to stop");
    gauge.let_through(2);
    let report = running.ends().await;
    assert_eq!((report.counts.handled, report.counts.acked, report.counts.cancelled), (2, 2, 0), "{report}");
    ledger.received_all(&rest);
    other.ack_all(&rest).await;
    other.nothing().await;
    ledger.check();
}

async fn deadline_aborts(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let gauge = Gauge::new();
    publisher.send_body(&queue, "endless").await;
    let worker = Worker::new(provider).deadline(ms(500)).signals_off();
    let running = {
        let gauge = gauge.clone();
        Running::start(
            worker.handle(),
            worker.run(move |_: Delivery| {
                let gauge = gauge.clone();
                async move {
                    let _inside = gauge.enter();
                    gauge.wait_for_pass().await;
                }
            }),
        )
    };
    gauge.reaches(1).await;
    let told = Instant::now();
    let report = running.stop().await;
    assert!(told.elapsed() >= ms(450), "the handler was cancelled before its deadline, after {:?}", told.elapsed());
    assert_eq!((report.counts.cancelled, report.counts.acked), (1, 0), "{report}");
    assert_eq!(gauge.now(), 0, "the handler's future was dropped");
    let again = cx.provider(&*broker, &queue).await.one_acked().await;
    assert_eq!((text(&again).as_str(), again.attempt()), ("endless", 1), "an aborted handler is no attempt");
}

async fn restart_same_worker(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("m", 25)).await;
    let mut handled = 0;
    // As a supervisor does: the same worker again and again, on the same connection.
    for round in 0..4 {
        let provider = cx.provider(&*broker, &queue).await;
        let ledger = ledger.clone();
        let worker = Worker::new(provider).concurrency(4).signals_off().max_messages(10).stop_when_empty();
        let running = Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                ledger.received(&delivery);
                async {}
            }),
        );
        let report = running.ends().await;
        let expected = [10, 10, 5, 0][round];
        assert_eq!((report.counts.handled, report.counts.acked), (expected, expected), "round {round}: {report}");
        handled += report.counts.handled;
    }
    assert_eq!(handled, 25);
    ledger.check();
}

async fn publisher_flushes_on_close(cx: &Context) {
    let Setup { broker, queue, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let mut refused = 0;
    // Closed at several moments: some publishes have not begun then, some are on their way, some are done.
    for round in 0..12 {
        let publisher = cx.publisher(&*broker, "").await;
        let tasks: Vec<_> = (0..10)
            .map(|task| {
                let (ledger, publisher, queue) = (ledger.clone(), Arc::clone(&publisher), queue.clone());
                let bodies = bodies(&format!("round-{round}-{task}"), 10);
                tokio::spawn(async move { ledger.try_publish(&*publisher, &queue, bodies).await })
            })
            .collect();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        timeout(PATIENCE, publisher.close()).await.expect("a close does not hang").expect("closes");
        for task in tasks {
            let results = timeout(PATIENCE, task).await.expect("no publish hangs").expect("no publish panics");
            for error in results.into_iter().filter_map(Result::err) {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
                refused += 1;
            }
        }
    }
    let confirmed = ledger.counts().confirmed;
    assert_eq!(confirmed + refused, 1200, "each was confirmed or refused");
    ledger.received_all(&provider.take_acked(confirmed).await);
    provider.nothing().await;
    ledger.check();
}

async fn no_leaked_tasks(cx: &Context) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    broker.close().await.expect("closes");
    let settled = async || {
        let connections = match cx.faulty_if_any() {
            Some(faulty) => faulty.connections().await.expect("counts"),
            None => None,
        };
        // The task of the connection that asked is only just ending: it would be counted or not, as chance has it.
        sleep(ms(20)).await;
        (tasks(), connections.unwrap_or(0))
    };
    // Whatever is made once, and never again, is part of the baseline.
    one_life(cx, &queue).await;
    let baseline = lowest(&settled, (0, 0)).await;
    for _ in 0..5 {
        one_life(cx, &queue).await;
    }
    let after = lowest(&settled, baseline).await;
    assert!(
        after.0 <= baseline.0 && after.1 <= baseline.1,
        "after five lives of a connection {} tasks and {} connections are left; after one it was {} and {}",
        after.0,
        after.1,
        baseline.0,
        baseline.1
    );
}

/// A connection with all that it can make, closed in the end.
async fn one_life(cx: &Context, queue: &str) {
    let broker = cx.connect_to_crash().await;
    let publisher = cx.publisher(&*broker, "").await;
    let provider = cx.provider(&*broker, queue).await;
    publisher.send_bodies(queue, bodies("m", 10)).await;
    provider.take_acked(10).await;
    publisher.send_bodies(queue, bodies("m", 10)).await;
    provider.close().await.expect("closes");
    let provider = cx.provider(&*broker, queue).await;
    let worker = Worker::new(provider).signals_off().max_messages(10);
    let report = Running::start(worker.handle(), worker.run(|_: Delivery| async {})).ends().await;
    assert_eq!(report.counts.acked, 10, "{report}");
    // Left open, for the connection to close: one that works, and one that never did.
    let open = cx.provider(&*broker, queue).await;
    open.nothing().await;
    let _unused = cx.provider(&*broker, queue).await;
    broker.close().await.expect("closes");
}

/// The counts once they are down to these, or after a while: what is closed may take a moment to end.
async fn lowest<F: Future<Output = (usize, usize)>>(count: impl Fn() -> F, wanted: (usize, usize)) -> (usize, usize) {
    let deadline = Instant::now() + secs(if wanted == (0, 0) { 2 } else { 30 });
    loop {
        let now = count().await;
        if (now.0 <= wanted.0 && now.1 <= wanted.1) || Instant::now() >= deadline {
            return now;
        }
        sleep(ms(50)).await;
    }
}
