//! Several workers under a supervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use swarrot::prelude::*;
use swarrot::{ReadyWorker, StopReason, SupervisedState, SupervisorReport};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Bench, QUEUE, Seen};

#[path = "../../examples/pool.rs"]
mod pool;

const SECOND: Duration = Duration::from_secs(1);

/// Makes workers on the bench's queue, changed and given a handler by this.
fn make(
    bench: &Bench,
    ready: impl Fn(Worker) -> ReadyWorker + Clone + Send + Sync + 'static,
) -> impl Fn() -> Made + Send + Sync + 'static {
    let (broker, seen) = (Arc::clone(&bench.broker), bench.seen.clone());
    move || {
        let (broker, seen, ready) = (Arc::clone(&broker), seen.clone(), ready.clone());
        Box::pin(async move {
            let provider = broker.provider(QUEUE, ProviderOptions::default()).await?;
            // Signals are the supervisor's affair; a worker of its own does not get to hear them.
            Ok(ready(Worker::new(provider).state(seen)))
        })
    }
}

type Made = std::pin::Pin<Box<dyn Future<Output = Result<ReadyWorker, BoxError>> + Send>>;

async fn note(body: String, State(seen): State<Seen>) {
    seen.note(body);
}

fn supervisor() -> Supervisor {
    Supervisor::new().signals_off()
}

async fn run(supervisor: Supervisor) -> SupervisorReport {
    timeout(24 * 3600 * SECOND, supervisor.run()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_restarted_later_and_later_and_its_counts_add_up() {
    let bench = Bench::new().await;
    bench.fill(30).await;
    let ready = |worker: Worker| {
        worker.stop_on_error().max_messages(24).ready(async |number: String, State(seen): State<Seen>| {
            seen.note(number.clone());
            if number.parse::<u32>()? < 6 { Err("a bad start".into()) } else { Ok::<_, BoxError>(()) }
        })
    };
    let supervisor = supervisor().worker("one", make(&bench, ready)).backoff(SECOND, 8 * SECOND);
    let started = Instant::now();
    let report = run(supervisor).await;
    let one = &report.workers[0];
    assert_eq!((one.runs, one.failures, one.counts.errors, one.counts.acked), (7, 6, 6, 24), "{report}");
    assert!(one.last_error.as_deref().unwrap().contains("a bad start"), "{report}");
    assert!(matches!(one.stopped, Some(StopReason::MaxMessages)) && report.stopped.is_none());
    assert!(started.elapsed() <= (1 + 2 + 4 + 8 + 8 + 8) * SECOND + SECOND, "{:?}", started.elapsed());
    assert_eq!((bench.seen.len(), bench.left().await), (30, (0, 6)));
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_run_makes_the_next_failure_the_first() {
    let bench = Bench::new().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let pauses = Seen::default();
    let (counted, noted) = (Arc::clone(&runs), pauses.clone());
    let last = Arc::new(std::sync::Mutex::new(Instant::now()));
    let ready = move |worker: Worker| {
        let run = counted.fetch_add(1, Ordering::Relaxed);
        let mut last = last.lock().unwrap();
        noted.note(last.elapsed().as_millis().to_string());
        // Short, short, …, then each is long enough.
        let length = if run < 6 { SECOND } else { 61 * SECOND };
        *last = Instant::now() + length;
        let end = move |handle: WorkerHandle| async move {
            sleep(length).await;
            drop(handle);
            panic!("a hook that panics ends the worker")
        };
        worker.on_start(end).ready(note)
    };
    let supervisor = supervisor().worker("one", make(&bench, ready)).backoff(SECOND, 3600 * SECOND);
    let handle = supervisor.handle();
    let running = tokio::spawn(run(supervisor));
    sleep(1200 * SECOND).await;
    handle.stop();
    let report = running.await.unwrap();
    assert!(report.workers[0].last_error.as_deref().unwrap().contains("a hook that panics"), "{report}");
    let pauses: Vec<u64> = pauses.all().iter().map(|pause| pause.parse().unwrap()).collect();
    assert!(pauses.len() > 10, "{pauses:?}");
    assert!(pauses[8..].iter().all(|pause| *pause <= 1001), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_ends_a_worker_unless_told_otherwise() {
    for restart in [false, true] {
        let bench = Bench::new().await;
        bench.fill(10).await;
        let ready = |worker: Worker| worker.max_messages(3).ready(note);
        let supervisor = supervisor().worker("one", make(&bench, ready));
        let supervisor = if restart { supervisor.restart_on_limit() } else { supervisor };
        let handle = supervisor.handle();
        let running = tokio::spawn(run(supervisor));
        sleep(60 * SECOND).await;
        assert_eq!(bench.seen.len(), if restart { 10 } else { 3 });
        handle.stop();
        let report = running.await.unwrap();
        let one = &report.workers[0];
        assert_eq!((one.failures, one.last_error.as_deref()), (0, None), "{report}");
        assert_eq!(one.runs, if restart { 4 } else { 1 });
    }
    // A limit that is reached at once is not run into all the time; one of memory is the process's.
    for (ready, most) in [
        ((|worker: Worker| worker.max_messages(0).ready(note)) as fn(Worker) -> ReadyWorker, 200),
        (|worker| worker.max_memory(1).ready(note), 1),
        (|worker| worker.stop_when_empty().ready(note), 1),
    ] {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let supervisor = supervisor().worker("one", make(&bench, ready)).restart_on_limit();
        let handle = supervisor.handle();
        let running = tokio::spawn(run(supervisor));
        sleep(3600 * SECOND).await;
        handle.stop();
        let runs = running.await.unwrap().workers[0].runs;
        assert!((1..=most).contains(&runs), "{runs} runs");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_is_made_later() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let made = make(&bench, |worker: Worker| worker.max_messages(1).ready(note));
    let counted = Arc::clone(&tries);
    let unsure = move || {
        let (made, run) = (made(), counted.fetch_add(1, Ordering::Relaxed));
        assert!(run != 0, "panics before it has begun");
        async move {
            match run {
                1 => panic!("panics"),
                2 => Err("cannot connect".into()),
                _ => made.await,
            }
        }
    };
    let report = run(supervisor().worker("one", unsure)).await;
    let one = &report.workers[0];
    assert_eq!((one.runs, one.failures, one.counts.acked), (1, 3, 1), "{report}");
    assert_eq!(one.last_error.as_deref(), Some("cannot connect"));
}

#[tokio::test(start_paused = true)]
async fn all_are_stopped_together_whatever_they_do() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let slow = make(&bench, |worker: Worker| worker.deadline(10 * SECOND).ready(async || sleep(5 * SECOND).await));
    let hangs = make(&bench, |worker: Worker| worker.deadline(10 * SECOND).ready(async || sleep(3600 * SECOND).await));
    let fails = || async { Err::<ReadyWorker, _>("never") };
    let never = || async {
        std::future::pending::<()>().await;
        Err::<ReadyWorker, _>("never")
    };
    let supervisor = supervisor()
        .worker("slow", slow)
        .worker("hangs", hangs)
        .worker("fails", fails)
        .worker("is never made", never)
        .backoff(3600 * SECOND, 3600 * SECOND);
    let handle = supervisor.handle();
    assert!(!handle.health().is_healthy(), "not yet started");
    let running = tokio::spawn(run(supervisor));
    sleep(SECOND).await;
    let health = handle.health();
    assert!(health.running && !health.is_healthy(), "{health:?}");
    let states: Vec<_> = health.workers.iter().map(|worker| &worker.state).collect();
    assert!(
        matches!(
            states[..],
            [
                SupervisedState::Running(_),
                SupervisedState::Running(_),
                SupervisedState::Waiting(_),
                SupervisedState::Starting
            ]
        ),
        "{health:?}"
    );
    assert_eq!((health.workers[2].failures, health.workers[2].last_error.as_deref()), (1, Some("never")));
    assert!(handle.worker("slow").unwrap().health().is_healthy() && handle.worker("fails").is_none());
    let stopping = Instant::now();
    handle.stop();
    let report = running.await.unwrap();
    assert_eq!(stopping.elapsed().as_secs(), 10, "the longest deadline");
    assert!(matches!(report.stopped, Some(StopReason::Handle)), "{report}");
    let cancelled: Vec<_> = report.workers.iter().map(|worker| worker.counts.cancelled).collect();
    assert_eq!((cancelled, report.counts().acked, report.is_clean()), (vec![0, 1, 0, 0], 1, false), "{report}");
    assert!(handle.is_stopping() && !handle.health().is_healthy());
    assert_eq!(bench.left().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_alone_stays_so() {
    let bench = Bench::new().await;
    let supervisor = supervisor().workers("twin", 2, make(&bench, |worker: Worker| worker.ready(note)));
    let handle = supervisor.handle();
    let running = tokio::spawn(run(supervisor));
    sleep(SECOND).await;
    handle.worker("twin 1").unwrap().stop();
    sleep(3600 * SECOND).await;
    let health = handle.health();
    assert!(matches!(health.workers[0].state, SupervisedState::Ended) && health.is_healthy(), "{health:?}");
    handle.worker("twin 2").unwrap().stop();
    let report = running.await.unwrap();
    assert!(report.stopped.is_none() && report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_end_all() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let fine = make(&bench, |worker: Worker| worker.ready(async || sleep(5 * SECOND).await));
    let fails = || async { Err::<ReadyWorker, _>("no such vhost") };
    let supervisor = supervisor()
        .worker("fine", fine)
        .worker("fails", fails)
        .backoff(SECOND / 10, SECOND / 10)
        .max_restarts(5, 60 * SECOND);
    let error = timeout(60 * SECOND, supervisor.run()).await.unwrap().unwrap_err();
    assert_eq!(error.worker(), Some("fails"));
    assert_eq!(
        swarrot::Reason::from_error(&error).as_str(),
        "workers failed too often; the last was \"fails\": no such vhost"
    );
    let report = error.report().unwrap();
    assert_eq!((report.workers[0].counts.acked, report.workers[1].failures), (1, 6), "{report}");

    // Within the limit it goes on for ever.
    let supervisor =
        Supervisor::new().signals_off().worker("fails", || async { Err::<ReadyWorker, _>("now and then") });
    let supervisor = supervisor.backoff(30 * SECOND, 30 * SECOND).max_restarts(100, 60 * SECOND);
    assert!(timeout(24 * 3600 * SECOND, supervisor.run()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_ends_all() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let supervisor =
        supervisor().worker("one", make(&bench, |worker: Worker| worker.ready(async || sleep(60 * SECOND).await)));
    let handle = supervisor.handle();
    let running = tokio::spawn(supervisor.run());
    sleep(SECOND).await;
    let worker = handle.worker("one").unwrap();
    assert_eq!(worker.health().in_flight.len(), 1);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    timeout(SECOND, handle.stopping()).await.expect("it has ended");
    timeout(SECOND, worker.stopping()).await.expect("it has ended");
    sleep(SECOND).await;
    drop((handle, worker));
    assert_eq!(bench.left().await, (3, 0));
}

#[tokio::test(start_paused = true)]
async fn none_is_soon_done() {
    let report = run(supervisor()).await;
    assert!(report.workers.is_empty() && report.to_string().starts_with("all workers ended"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn the_example_does_all_of_it() {
    let report = pool::run("memory://").await.unwrap();
    println!("{report}");
    let counts = report.counts();
    assert_eq!((counts.acked, counts.retried, counts.errors, counts.rejected), (17, 2, 2, 0), "{report}");
    let [ada, grace, thumbnails] = &report.workers[..] else { panic!("{report}") };
    assert_eq!((ada.counts.acked + grace.counts.acked, thumbnails.runs, thumbnails.failures), (8, 3, 2), "{report}");
    assert!(ada.held + grace.held > SECOND / 2 && report.is_clean(), "{report}");
    assert!(report.elapsed >= SECOND * 7 / 10, "eight mails, ten in a second: {report}");
    let text = report.to_string();
    for part in
        ["stopped after", "mails 1", "mails 2", "thumbnails failed 2 times", "the picture library is beside itself"]
    {
        assert!(text.contains(part), "{text}");
    }
}
