//! Rate limits, and gates in general.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use swarrot::gate::{Flow, Gate, Permit};
use swarrot::prelude::*;
use swarrot::{StopReason, async_trait};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Bench, Seen};

const SECOND: Duration = Duration::from_secs(1);

/// When deliveries were handled, in milliseconds from the beginning.
#[derive(Clone, Debug)]
struct Times(Instant, Seen);

impl Times {
    fn new() -> Self {
        Self(Instant::now(), Seen::default())
    }

    fn note(&self) {
        self.1.note(self.0.elapsed().as_millis().to_string());
    }

    fn all(&self) -> Vec<u64> {
        self.1.all().iter().map(|time| time.parse().unwrap()).collect()
    }

    /// The most that were handled within a time of this length.
    fn most_within(&self, span: Duration) -> usize {
        let (all, span) = (self.all(), u64::try_from(span.as_millis()).unwrap());
        (0..all.len()).map(|i| all[i..].iter().take_while(|time| **time < all[i] + span).count()).max().unwrap_or(0)
    }
}

async fn note(State(times): State<Times>) {
    times.note();
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other_evenly() {
    for loops in [1, 3] {
        let bench = Bench::new().await;
        bench.fill(21).await;
        let times = Times::new();
        let worker = bench.worker().await.concurrency(6).parallelism(loops).state(times.clone());
        let report = worker.gate(RateLimit::per_second(10)).max_messages(21).run(note).await.unwrap();
        let expected: Vec<u64> = (0..21).map(|i| i * 100).collect();
        let late = times.all().iter().zip(&expected).map(|(is, should)| is.abs_diff(*should)).max();
        assert!(late <= Some(3), "{loops} loops: {:?}", times.all());
        assert!(report.held >= 19 * SECOND / 10, "{report:?}");
        assert!(report.to_string().contains("held back"), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_saved_while_there_is_nothing_to_do() {
    let bench = Bench::new().await;
    let times = Times::new();
    let worker = bench.worker().await.concurrency(50).state(times.clone());
    let worker = worker.gate(RateLimit::per(60, 60 * SECOND).burst(5)).max_messages(20);
    let running = tokio::spawn(worker.run(note));
    sleep(100 * SECOND).await;
    bench.fill(20).await;
    running.await.unwrap().unwrap();
    let (all, start) = (times.all(), 100_000);
    assert!(all[4] < start + 10 && all[5] >= start + 1000, "{all:?}");
    assert_eq!(times.most_within(10 * SECOND), 5 + 9);
}

#[tokio::test(start_paused = true)]
async fn shared_by_workers_it_limits_them_together() {
    let bench = Bench::new().await;
    bench.fill(100).await;
    let (times, limit) = (Times::new(), Arc::new(RateLimit::per_second(10).burst(2)));
    let mut running = Vec::new();
    for _ in 0..4 {
        let worker = bench.worker().await.concurrency(3).parallelism(2).state(times.clone());
        let worker = worker.gate(Arc::clone(&limit));
        running.push((worker.handle(), tokio::spawn(worker.run(note))));
    }
    sleep(20 * SECOND).await;
    for (handle, running) in running {
        handle.stop();
        running.await.unwrap().unwrap();
    }
    assert_eq!(times.all().len(), 100);
    assert!(times.most_within(SECOND) <= 10 + 2, "{:?}", times.all());
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_an_empty_queue_keeps_nothing_from_others() {
    let (idle, busy) = (Bench::new().await, Bench::new().await);
    let (times, limit) = (Times::new(), Arc::new(RateLimit::per_second(1000).burst(100)));
    let waiting = idle.worker().await.concurrency(500).gate(Arc::clone(&limit));
    let handle = waiting.handle();
    let waiting = tokio::spawn(waiting.run(async || {}));
    sleep(SECOND).await;
    busy.fill(1000).await;
    let worker = busy.worker().await.concurrency(10).state(times.clone()).gate(limit).max_messages(1000);
    let started = Instant::now();
    worker.run(note).await.unwrap();
    let rate = 900.0 / started.elapsed().as_secs_f64();
    assert!((900.0..1010.0).contains(&rate), "1000 messages in {:?}", started.elapsed());
    handle.stop();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_stay_in_the_broker_and_a_stop_is_at_once() {
    for stop_on in ["handle", "time", "drop"] {
        let bench = Bench::new().await;
        bench.fill(5).await;
        let worker = bench.worker().await.concurrency(5).gate(RateLimit::per(1, 3600 * SECOND));
        let worker = if stop_on == "time" { worker.max_time(SECOND) } else { worker };
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(async || {}));
        sleep(SECOND / 2).await;
        assert_eq!(bench.broker.stats(crate::support::QUEUE).await.unwrap().ready, 4);
        let health = handle.health();
        let (held, by) = health.held.clone().unwrap();
        assert!(held >= SECOND / 4 && by == "rate limit of 1 per 3600s" && health.is_healthy(), "{health:?}");
        match stop_on {
            "handle" => handle.stop(),
            "drop" => running.abort(),
            _ => sleep(SECOND / 2).await,
        }
        let stopping = Instant::now();
        let ended = timeout(SECOND, running).await.unwrap();
        assert!(stopping.elapsed() < Duration::from_millis(2));
        assert!(handle.health().held.is_none(), "{:?}", handle.health());
        if let Ok(report) = ended {
            assert_eq!(report.unwrap().counts.handled, 1);
        }
        drop(handle);
        assert_eq!(bench.left().await, (4, 0), "{stop_on}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handled_again_counts_again() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let times = Times::new();
    let worker = bench.worker().await.state(times.clone()).layer(Retry::fixed(Duration::ZERO).attempts(4));
    let worker = worker.gate(RateLimit::per_second(1)).max_messages(4);
    worker
        .run(async |State(times): State<Times>| {
            times.note();
            Err::<(), _>("again")
        })
        .await
        .unwrap();
    assert_eq!(times.all().iter().map(|time| time / 1000).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// Open, but counts what it is asked, and gives back what it is told.
#[derive(Debug, Default)]
struct Counting {
    at_most: usize,
    entered: AtomicUsize,
    promised: AtomicUsize,
    came: AtomicUsize,
    handled: AtomicUsize,
    not_handled: AtomicUsize,
}

impl std::fmt::Display for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl Gate for Counting {
    async fn enter(&self, max: NonZeroUsize) -> Permit {
        self.entered.fetch_add(1, Ordering::Relaxed);
        let granted = NonZeroUsize::new(self.at_most).map_or(max, |most| most.min(max));
        self.promised.fetch_add(granted.get(), Ordering::Relaxed);
        Permit::new(granted).tagged(7)
    }

    async fn revoked(&self, _: Permit) {
        std::future::pending::<()>().await;
    }

    fn leave(&self, permit: Permit, came: usize) {
        assert!(permit.tag() == 7 && came <= permit.deliveries().get());
        self.promised.fetch_sub(permit.deliveries().get(), Ordering::Relaxed);
        self.came.fetch_add(came, Ordering::Relaxed);
    }

    fn handled(&self, _: Permit, _: &Delivery, _: &Result<Outcome, BoxError>) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        panic!("a gate that panics ends nothing");
    }

    fn not_handled(&self, _: Permit) {
        self.not_handled.fetch_add(1, Ordering::Relaxed);
    }

    fn flow(&self) -> Flow {
        Flow::Free
    }
}

impl Counting {
    /// Promised still, came, handled, not handled.
    fn sums(&self) -> [usize; 4] {
        [&self.promised, &self.came, &self.handled, &self.not_handled].map(|sum| sum.load(Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_is_not_woken_by_its_gate() {
    let bench = Bench::new().await;
    let gate = Arc::new(Counting::default());
    let worker = bench.worker().await.gate(RateLimit::per_second(1_000_000)).gate(Arc::clone(&gate));
    worker.max_time(3600 * SECOND).run(async || {}).await.unwrap();
    let entered = gate.entered.load(Ordering::Relaxed);
    assert!((59..=61).contains(&entered), "once for each wait of a minute: {entered}");
    assert_eq!(gate.sums(), [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn each_permit_and_each_delivery_is_told_of_once() {
    for (loops, spawned) in [(1, false), (3, false), (2, true)] {
        let bench = Bench::with_lease(10 * SECOND).await;
        bench.fill(30).await;
        let (wide, narrow) = (Arc::new(Counting::default()), Arc::new(Counting { at_most: 2, ..Counting::default() }));
        let worker = bench.worker().await.concurrency(6).parallelism(loops).deadline(SECOND);
        let worker = worker.gate(Arc::clone(&wide)).gate(Arc::clone(&narrow));
        let worker = if spawned { worker.spawned() } else { worker };
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(async |number: String| match number.as_str() {
            "3" => Err("fails".into()),
            "5" => panic!("panics"),
            "7" | "9" => {
                sleep(3600 * SECOND).await;
                Ok(())
            }
            _ => Ok::<_, BoxError>(()),
        }));
        sleep(5 * SECOND).await;
        handle.stop();
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.counts.handled, report.counts.cancelled), (28, 2), "{report}");
        assert_eq!((wide.sums(), narrow.sums()), ([0, 30, 28, 2], [0, 30, 28, 2]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_was_not_handled() {
    let bench = Bench::new().await;
    bench.fill(6).await;
    let gate = Arc::new(Counting::default());
    let worker = bench.worker().await.concurrency(6).crash_limit(0).gate(Arc::clone(&gate)).stop_when_empty();
    let report = worker.run(async || {}).await.unwrap();
    assert!(matches!(report.stopped, StopReason::Empty));
    assert_eq!((report.counts.rejected, gate.sums()), (6, [0, 6, 0, 6]));
}
