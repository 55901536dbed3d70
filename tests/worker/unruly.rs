//! Providers that hang or fail for ever, and hooks and handlers that panic or hang: the worker goes on, or ends in time.

use std::collections::HashMap;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::prelude::*;
use swarrot::{
    Capabilities, ConnectionState, Error, ErrorKind, Receipt, SettleError, Settlement, StopReason, async_trait,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::support::{Bench, report_of};

const SECOND: Duration = Duration::from_secs(1);

/// A provider whose calls can be made to hang or fail.
#[derive(Debug)]
struct Unruly {
    inner: Arc<dyn MessageProvider>,
    faults: Mutex<HashMap<&'static str, Fault>>,
    receives: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Hang,
    Fail,
    /// It is busy connecting until then, and finds nothing before.
    Connect(Instant),
}

impl Unruly {
    async fn new(bench: &Bench) -> Arc<Self> {
        Arc::new(Self { inner: bench.provider().await, faults: Mutex::default(), receives: AtomicUsize::new(0) })
    }

    fn make(&self, call: &'static str, fault: Fault) {
        self.faults.lock().unwrap().insert(call, fault);
    }

    fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    fn worker(self: &Arc<Self>, bench: &Bench) -> Worker {
        Worker::new(Arc::clone(self) as Arc<dyn MessageProvider>).state(bench.seen.clone()).signals_off()
    }

    async fn fault(&self, call: &'static str) -> Result<(), Error> {
        let fault = self.faults.lock().unwrap().get(call).copied();
        match fault {
            None => Ok(()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Fail) => Err(Error::new(ErrorKind::Timeout, "no answer")),
            Some(Fault::Connect(until)) => {
                sleep_until(until).await;
                Ok(())
            }
        }
    }

    fn is_connecting(&self) -> bool {
        let faults = self.faults.lock().unwrap();
        matches!(faults.get("receive"), Some(Fault::Connect(until)) if *until > Instant::now())
    }
}

#[async_trait]
impl MessageProvider for Unruly {
    fn queue(&self) -> &str {
        self.inner.queue()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn connection(&self) -> ConnectionState {
        if self.is_connecting() { ConnectionState::Connecting } else { self.inner.connection() }
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<(), Error> {
        self.fault("set_prefetch").await?;
        self.inner.set_prefetch(prefetch).await
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        self.receives.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + wait;
        match timeout(wait, self.fault("receive")).await {
            Err(_) if self.is_connecting() => return Ok(Vec::new()),
            Err(_) => std::future::pending().await,
            Ok(done) => done?,
        }
        self.inner.receive(max, end.saturating_duration_since(Instant::now())).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let all = |error: Error| SettleError::all(settlements.iter().map(|s| s.receipt), &error);
        self.fault("settle").await.map_err(all)?;
        self.inner.settle(settlements).await
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        self.fault("extend").await.map_err(|error| SettleError::all(receipts.iter().copied(), &error))?;
        self.inner.extend(receipts).await
    }

    async fn pause(&self) -> Result<(), Error> {
        self.fault("pause").await?;
        self.inner.pause().await
    }

    async fn stop(&self) -> Result<(), Error> {
        self.fault("stop").await?;
        self.inner.stop().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.fault("close").await?;
        self.inner.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_hangs_or_fails_a_stop_ends_in_time() {
    for call in ["set_prefetch", "receive", "settle", "extend", "stop", "close"] {
        for fault in [Fault::Hang, Fault::Fail] {
            for loops in [1, 3] {
                let bench = Bench::with_lease(10 * SECOND).await;
                bench.fill(10).await;
                let provider = Unruly::new(&bench).await;
                provider.make(call, fault);
                let worker = provider.worker(&bench).concurrency(4).parallelism(loops).deadline(20 * SECOND);
                let handle = worker.handle();
                let running = tokio::spawn(worker.run(async || sleep(3600 * SECOND).await));
                sleep(15 * SECOND).await;
                let stopping = Instant::now();
                handle.stop();
                let report = timeout(100 * SECOND, running).await.unwrap_or_else(|_| panic!("{call} {fault:?}"));
                report_of(report.unwrap());
                // The deadline of handlers, the grace of their settlements, and the deadline of closing.
                let limit = 20 + 5 + 10;
                assert!(stopping.elapsed().as_secs() <= limit, "{call} {fault:?}: {:?}", stopping.elapsed());
                drop((handle, provider));
                sleep(20 * SECOND).await;
                assert_eq!(bench.left().await, (10, 0), "{call} {fault:?}");
            }
        }
    }
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_it_is_cancelled_harms_nobody() {
    for spawned in [false, true] {
        let bench = Bench::new().await;
        bench.fill(4).await;
        let worker = bench.worker().await.concurrency(4).deadline(SECOND);
        let worker = if spawned { worker.spawned() } else { worker };
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(async || {
            let grenade = Grenade;
            sleep(100 * SECOND).await;
            drop(grenade);
        }));
        sleep(SECOND).await;
        handle.stop();
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.counts.cancelled, report.counts.released), (4, 4), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_it_is_done_is_an_error() {
    let bench = Bench::new().await;
    bench.fill(4).await;
    let worker = bench.worker().await.concurrency(4).layer(Timeout::new(SECOND)).stop_when_empty();
    let report = worker
        .run(async || {
            let _grenade = Grenade;
            sleep(100 * SECOND).await;
        })
        .await
        .unwrap();
    assert_eq!((report.counts.handled, report.counts.rejected, report.counts.panics), (4, 4, 4), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_error_or_in_an_errors_text_parks() {
    #[derive(Debug)]
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    impl std::error::Error for Unprintable {}
    let bench = Bench::new().await;
    bench.fill(3).await;
    let worker = bench.worker().await.concurrency(3).on_error(|_, _| panic!("cannot decide"));
    let report = worker.stop_when_empty().run(async || Err::<(), _>("fails")).await.unwrap();
    assert_eq!((report.counts.errors, report.counts.rejected), (3, 3));
    bench.fill(3).await;
    let worker = bench.worker().await.concurrency(3).stop_when_empty();
    let report = worker.run(async || Err::<(), _>(Unprintable)).await.unwrap();
    assert_eq!((report.counts.errors, report.counts.rejected), (3, 3));
    let reasons: Vec<_> = bench.parked().await.iter().map(|d| d.message().failure().unwrap().reason.unwrap()).collect();
    assert!(reasons[0].contains("cannot decide"), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_idle_hook_harms_nobody() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.concurrency(2).on_idle(async |_| panic!("idle"));
    let worker = worker.on_idle(|_| -> std::future::Ready<()> { panic!("idle, at once") });
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || sleep(200 * SECOND).await));
    sleep(201 * SECOND).await;
    bench.fill(1).await;
    sleep(201 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.counts.acked, 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_hook_that_hangs_is_cancelled_by_the_deadline() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let worker = bench.worker().await.on_start(async |_| std::future::pending().await).deadline(3 * SECOND);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || {}));
    sleep(SECOND).await;
    handle.stop();
    let report = timeout(10 * SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.counts.handled, 0);
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_hangs_is_not_healthy_and_mends() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let provider = Unruly::new(&bench).await;
    provider.make("receive", Fault::Hang);
    let worker = provider.worker(&bench).max_messages(1);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || {}));
    sleep(200 * SECOND).await;
    assert!(!handle.health().is_healthy(), "{:?}", handle.health());
    provider.mend();
    let report = timeout(200 * SECOND, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.counts.acked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_stopped_by_someone_else_is_not_asked_without_pause() {
    let bench = Bench::new().await;
    let provider = Unruly::new(&bench).await;
    let running = tokio::spawn(provider.worker(&bench).run(async || {}));
    sleep(SECOND).await;
    provider.stop().await.unwrap();
    let before = provider.receives.load(Ordering::Relaxed);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let asked = provider.receives.load(Ordering::Relaxed) - before;
    assert!(asked < 3, "asked {asked} times at once");
    sleep(10 * SECOND).await;
    provider.close().await.unwrap();
    let report = timeout(10 * SECOND, running).await.unwrap().unwrap().unwrap();
    assert!(matches!(report.stopped, StopReason::Closed), "{report}");
}

#[tokio::test(start_paused = true)]
async fn only_a_broker_that_failed_all_the_time_ends_the_worker() {
    let bench = Bench::new().await;
    let worker = bench.worker().await.give_up_after(30 * SECOND);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async || {}));
    for _ in 0..10 {
        sleep(15 * SECOND).await;
        bench.faults().cut();
    }
    sleep(5 * SECOND).await;
    assert!(handle.health().is_healthy(), "connected again, though nothing has arrived: {:?}", handle.health());
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.counts.broker_errors, 10);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_only_fails_ends_the_worker() {
    let bench = Bench::new().await;
    let provider = Unruly::new(&bench).await;
    for fault in [Fault::Fail, Fault::Hang] {
        provider.make("receive", fault);
        let worker = provider.worker(&bench).give_up_after(300 * SECOND);
        let error = timeout(600 * SECOND, worker.run(async || {})).await.unwrap().unwrap_err();
        assert_eq!(error.broker_error().unwrap().kind(), ErrorKind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_broker_cannot_do_parks() {
    let bench = Bench::new().await;
    bench.fill(5).await;
    let running = bench.worker().await.stop_when_empty().run(async || Outcome::retry(Duration::from_secs(u64::MAX)));
    let report = timeout(100 * SECOND, running).await.unwrap().unwrap();
    assert_eq!((report.counts.handled, report.counts.rejected), (5, 5), "{report}");
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.contains("over the limit"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_is_tried_again() {
    let bench = Bench::with_lease(30 * SECOND).await;
    bench.fill(1).await;
    let provider = Unruly::new(&bench).await;
    provider.make("extend", Fault::Hang);
    let worker = provider.worker(&bench).max_messages(1);
    let running = tokio::spawn(worker.run(async || sleep(60 * SECOND).await));
    sleep(11 * SECOND).await;
    provider.mend();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.acked, report.counts.lost), (1, 0));
}

/// A queue is not empty only because nobody could look at it yet.
#[tokio::test(start_paused = true)]
async fn a_provider_that_connects_slowly_finds_no_queue_empty() {
    for millis in [100, 499, 500, 501, 999, 1000, 1001, 5000] {
        for loops in [1, 3] {
            let bench = Bench::new().await;
            bench.fill(10).await;
            let provider = Unruly::new(&bench).await;
            provider.make("receive", Fault::Connect(Instant::now() + Duration::from_millis(millis)));
            let worker = provider.worker(&bench).parallelism(loops).concurrency(3).stop_when_empty();
            let report = worker.run(async || {}).await.unwrap();
            assert_eq!(report.counts.acked, 10, "connected after {millis} ms: {report}");
        }
    }
}
