//! Kill switches: tripped, probing, and passing again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use swarrot::gate::Verdict;
use swarrot::layer::TimedOut;
use swarrot::prelude::*;
use tokio::time::{Instant, sleep};

use crate::support::{Bench, QUEUE};

const SECOND: Duration = Duration::from_secs(1);

/// What handlers depend on.
#[derive(Clone, Debug, Default)]
struct Server {
    works: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Server {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn works(&self, works: bool) {
        self.works.store(works, Ordering::Relaxed);
    }

    async fn call(&self) -> Result<(), BoxError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(self.at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        sleep(Duration::from_millis(10)).await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        if self.works.load(Ordering::Relaxed) { Ok(()) } else { Err("the server is down".into()) }
    }
}

async fn call(State(server): State<Server>) -> Result<(), BoxError> {
    server.call().await
}

/// Retries what fails long after the test.
fn much_later() -> Retry {
    Retry::fixed(24 * 3600 * SECOND).attempts(u32::MAX)
}

async fn ready(bench: &Bench) -> u64 {
    bench.broker.stats(QUEUE).await.unwrap().ready
}

#[tokio::test(start_paused = true)]
async fn it_trips_waits_longer_and_longer_and_goes_on_after_a_probe() {
    for loops in [1, 3] {
        let bench = Bench::new().await;
        bench.fill(100).await;
        let server = Server::default();
        let switch = Arc::new(KillSwitch::new().failures(3).pause(10 * SECOND).max_pause(30 * SECOND));
        let worker = bench.worker().await.state(server.clone()).layer(much_later()).parallelism(loops);
        let worker = worker.gate(Arc::clone(&switch));
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(call));
        // Tripped at once; probes after 10, 20, 30 and 30 seconds.
        for (expected, after) in (3..).zip([5, 10, 20, 30, 30]) {
            sleep(after * SECOND).await;
            assert_eq!((server.calls(), ready(&bench).await), (expected, 100 - expected as u64), "{switch:?}");
            assert!(switch.is_tripped());
            let health = handle.health();
            let (_, by) = health.held.clone().unwrap();
            assert!(by.starts_with("kill switch, tripped: ") && health.is_healthy(), "{health:?}");
        }
        assert_eq!(switch.trips(), 5);
        server.works(true);
        sleep(30 * SECOND).await;
        assert_eq!((switch.is_tripped(), server.calls(), ready(&bench).await), (false, 100, 0));
        assert!(handle.health().held.is_none());
        handle.stop();
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.counts.acked, report.counts.retried, report.held > 90 * SECOND), (93, 7, true), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_waits_is_ended_too() {
    let (failing, idle) = (Bench::new().await, Bench::new().await);
    let server = Server::default();
    let switch = Arc::new(KillSwitch::new().failures(2).pause(100 * SECOND));
    let mut running = Vec::new();
    for bench in [&failing, &idle] {
        let worker = bench.worker().await.concurrency(4).state(server.clone()).layer(much_later());
        let worker = worker.gate(Arc::clone(&switch));
        running.push((worker.handle(), tokio::spawn(worker.run(call))));
    }
    sleep(SECOND).await;
    failing.fill(2).await;
    sleep(SECOND).await;
    assert!(switch.is_tripped());
    idle.fill(10).await;
    failing.fill(10).await;
    sleep(90 * SECOND).await;
    assert_eq!((server.calls(), ready(&idle).await, ready(&failing).await), (2, 10, 10));
    server.works(true);
    sleep(60 * SECOND).await;
    assert_eq!((server.calls(), ready(&idle).await, ready(&failing).await), (22, 0, 0));
    for (handle, running) in running {
        handle.stop();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_tells_of_a_failure_counts() {
    async fn one(number: String) -> Result<Outcome, BoxError> {
        Ok(match number.parse::<u32>()? % 5 {
            0 => return Err(Permanent::new("a bad message").into()),
            1 => Outcome::retry(3600 * SECOND),
            2 => Outcome::reject("not wanted"),
            3 => return Err(Permanent::new(std::io::Error::other("bad too")).into()),
            _ => Outcome::Ack,
        })
    }
    let bench = Bench::new().await;
    bench.fill(50).await;
    let switch = Arc::new(KillSwitch::new().failures(1).ratio(0.0));
    let worker = bench.worker().await.gate(Arc::clone(&switch)).max_messages(50);
    worker.run(one).await.unwrap();
    assert_eq!(switch.trips(), 0);

    for (what, result) in [
        ("an error", Err("an error".into())),
        ("a panic or a timeout", Err(BoxError::from("the handler panicked"))),
        ("a retry of a layer", Ok(Outcome::Retry { after: SECOND, reason: Some("down".into()) })),
        ("a requeue", Ok(Outcome::Requeue)),
    ] {
        assert_eq!(Verdict::of(&result), Verdict::Failure, "{what}");
    }
    assert_eq!(Verdict::of(&Ok(Outcome::Ack)), Verdict::Success);
}

#[tokio::test(start_paused = true)]
async fn panics_and_timeouts_are_failures_and_a_judge_may_differ() {
    async fn one(number: String) {
        match number.as_str() {
            "0" => panic!("boom"),
            _ => sleep(3600 * SECOND).await,
        }
    }
    for judged in [false, true] {
        let bench = Bench::new().await;
        bench.fill(2).await;
        let switch = KillSwitch::new().failures(2);
        let switch = if judged {
            switch.judge(|_, result| match result {
                Err(error) if error.is::<TimedOut>() => Verdict::Neither,
                _ => Verdict::of(result),
            })
        } else {
            switch
        };
        let switch = Arc::new(switch);
        let worker = bench.worker().await.layer(Timeout::new(SECOND)).gate(Arc::clone(&switch));
        worker.max_time(10 * SECOND).run(one).await.unwrap();
        assert_eq!(switch.is_tripped(), !judged);
    }
}

#[tokio::test(start_paused = true)]
async fn few_failures_among_many_do_not_trip_it() {
    let bench = Bench::new().await;
    bench.fill(1000).await;
    let switch = Arc::new(KillSwitch::new().failures(10).ratio(0.5).window(10 * SECOND));
    let worker = bench.worker().await.layer(much_later()).gate(Arc::clone(&switch)).stop_when_empty();
    worker
        .run(async |number: String| {
            sleep(Duration::from_millis(5)).await;
            if number.parse::<u32>().unwrap() % 3 == 0 { Err("now and then") } else { Ok(()) }
        })
        .await
        .unwrap();
    assert_eq!(switch.trips(), 0, "{switch:?}");
    // Nor do many that are far apart.
    let bench = Bench::new().await;
    bench.fill(30).await;
    let worker = bench.worker().await.layer(much_later()).gate(Arc::clone(&switch)).max_messages(30);
    worker
        .run(async || {
            sleep(2 * SECOND).await;
            Err::<(), _>("seldom")
        })
        .await
        .unwrap();
    assert_eq!(switch.trips(), 0, "{switch:?}");
}

#[tokio::test(start_paused = true)]
async fn several_probes_have_to_succeed_and_no_more_are_let_through() {
    let bench = Bench::new().await;
    bench.fill(100).await;
    let server = Server::default();
    let switch = Arc::new(KillSwitch::new().failures(10).pause(10 * SECOND).probes(3));
    let worker = bench.worker().await.concurrency(20).state(server.clone()).layer(much_later());
    let worker = worker.gate(Arc::clone(&switch));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(call));
    sleep(SECOND).await;
    assert_eq!(server.calls(), 20, "all that ran when it tripped");
    server.most.store(0, Ordering::Relaxed);
    // The first of the probes to fail trips it again.
    sleep(10 * SECOND).await;
    assert_eq!((server.calls(), server.most.load(Ordering::Relaxed), switch.trips()), (23, 3, 2));
    server.works(true);
    sleep(20 * SECOND).await;
    assert_eq!((server.calls(), ready(&bench).await, switch.is_tripped()), (100, 0, false));
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_not_handled_is_followed_by_another() {
    let bench = Bench::new().await;
    bench.fill(10).await;
    let server = Server::default();
    let switch = Arc::new(KillSwitch::new().failures(1).pause(10 * SECOND));
    let first = bench.worker().await.deadline(SECOND).state(server.clone()).gate(Arc::clone(&switch));
    let first = first.on_error(|_, _| Outcome::retry(3600 * SECOND));
    let first_handle = first.handle();
    let first = tokio::spawn(first.run(async |State(server): State<Server>| {
        let result = server.call().await;
        if server.calls() > 1 {
            sleep(3600 * SECOND).await;
        }
        result
    }));
    sleep(11 * SECOND).await;
    assert_eq!((server.calls(), switch.is_tripped()), (2, true), "the probe hangs");
    let second = bench.worker().await.state(server.clone()).gate(Arc::clone(&switch));
    let second_handle = second.handle();
    let second = tokio::spawn(second.run(call));
    sleep(100 * SECOND).await;
    assert_eq!(server.calls(), 2, "one probe is allowed");
    server.works(true);
    first_handle.stop();
    first.await.unwrap().unwrap();
    sleep(SECOND).await;
    assert_eq!((server.calls(), switch.is_tripped(), ready(&bench).await), (2 + 9, false, 0));
    second_handle.stop();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_began_before_it_tripped_tells_nothing_about_later() {
    let bench = Bench::new().await;
    bench.fill(4).await;
    let switch = Arc::new(KillSwitch::new().failures(1).pause(10 * SECOND));
    let worker = bench.worker().await.concurrency(2).layer(much_later()).gate(Arc::clone(&switch));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |number: String| match number.as_str() {
        "0" => {
            sleep(12 * SECOND).await;
            Err("slow, and fails while a probe is under way")
        }
        "1" => Err("trips it"),
        _ => {
            sleep(5 * SECOND).await;
            Ok(())
        }
    }));
    sleep(14 * SECOND).await;
    assert_eq!(switch.trips(), 1);
    sleep(2 * SECOND).await;
    assert!(!switch.is_tripped());
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_tripped_worker_at_once() {
    let bench = Bench::new().await;
    bench.fill(10).await;
    let server = Server::default();
    let worker = bench.worker().await.state(server.clone()).layer(much_later());
    let worker = worker.gate(RateLimit::per_second(100)).gate(KillSwitch::new().failures(2).pause(3600 * SECOND));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(call));
    sleep(SECOND).await;
    let stopping = Instant::now();
    handle.stop();
    running.await.unwrap().unwrap();
    assert!(stopping.elapsed() < Duration::from_millis(2) && server.calls() == 2);
    assert_eq!(ready(&bench).await, 8);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_settled_keeps_no_probe_out() {
    let bench = Bench::new().await;
    // Nowhere to park what fails: it stays in the worker's hands.
    bench.broker.delete("work.dead").await.unwrap();
    bench.fill(1).await;
    let server = Server::default();
    let switch = Arc::new(KillSwitch::new().failures(1).pause(10 * SECOND));
    let worker = bench.worker().await.concurrency(4).state(server.clone()).gate(Arc::clone(&switch));
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(call));
    sleep(5 * SECOND).await;
    assert_eq!((server.calls(), switch.is_tripped()), (1, true));
    server.works(true);
    bench.fill(2).await;
    sleep(60 * SECOND).await;
    assert_eq!((server.calls(), switch.is_tripped(), ready(&bench).await), (3, false, 0));
    handle.stop();
    assert_eq!(running.await.unwrap().unwrap().counts.acked, 2);
}
