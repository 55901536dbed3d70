//! Duplicates: done, in progress, failed, and while the store is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swarrot::layer::{Claim, DedupStore, MemoryDedupStore, OnStoreError, Owner};
use swarrot::prelude::*;
use swarrot::{Error, async_trait};
use tokio::time::{Instant, sleep};

use crate::support::{Bench, QUEUE, Seen};

const SECOND: Duration = Duration::from_secs(1);

fn store() -> Arc<MemoryDedupStore> {
    Arc::new(MemoryDedupStore::default())
}

async fn publish(bench: &Bench, queue: &str, id: &str, body: &'static str) {
    bench.publisher.publish_one(Outgoing::new(queue, Message::new(body).id(id))).await.unwrap();
}

async fn note(body: String, State(seen): State<Seen>) {
    seen.note(body);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_acked_and_not_handled_for_a_time() {
    let bench = Bench::new().await;
    let once = Deduplicate::new(store()).keep(3600 * SECOND);
    for (wait, expected) in [(0, 1), (0, 1), (3599, 1), (2, 2)] {
        sleep(wait * SECOND).await;
        publish(&bench, QUEUE, "order-7", "order").await;
        let worker = bench.worker().await.layer(once.clone()).max_messages(1);
        assert_eq!(worker.run(note).await.unwrap().counts.acked, 1);
        assert_eq!(bench.seen.len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn one_id_in_two_queues_is_two_messages_unless_they_are_of_one_scope() {
    for (scope, expected) in [(None, 2), (Some("orders"), 1)] {
        let bench = Bench::new().await;
        bench.broker.declare(&Topology::new().queue(Queue::new("other"))).await.unwrap();
        let once = Deduplicate::new(store());
        let once = if let Some(scope) = scope { once.scope(scope) } else { once };
        for queue in [QUEUE, "other"] {
            publish(&bench, queue, "m", "m").await;
            let provider = bench.broker.provider(queue, ProviderOptions::default()).await.unwrap();
            let worker = Worker::new(provider).signals_off().state(bench.seen.clone());
            worker.layer(once.clone()).max_messages(1).run(note).await.unwrap();
        }
        assert_eq!(bench.seen.len(), expected, "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_key_is_what_you_make_it() {
    let bench = Bench::new().await;
    for (id, body) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", ""), ("5", "")] {
        publish(&bench, QUEUE, id, body).await;
    }
    let by_body = |delivery: &Delivery| Some(String::from_utf8_lossy(delivery.body()).into_owned());
    let worker = bench.worker().await.layer(Deduplicate::new(store()).key(by_body)).max_messages(5);
    worker.run(note).await.unwrap();
    assert_eq!(bench.seen.all(), ["a", "b", "", ""], "without a key they are handled each time");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_handled_again() {
    let outcomes: [fn() -> Result<Outcome, BoxError>; 5] = [
        || Err("fails".into()),
        || panic!("panics"),
        || Ok(Outcome::retry(SECOND)),
        || Ok(Outcome::Requeue),
        || Ok(Outcome::Release),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        for inside in [true, false] {
            let bench = Bench::new().await;
            publish(&bench, QUEUE, "m", "m").await;
            let (retry, once) = (Retry::fixed(SECOND), Deduplicate::new(store()));
            let worker = bench.worker().await.max_messages(2);
            let handler = move |State(seen): State<Seen>| async move {
                seen.note("called");
                if seen.len() == 1 { outcome() } else { Ok(Outcome::Ack) }
            };
            let report = if inside {
                worker.layer(retry).layer(once).run(handler).await
            } else {
                worker.layer(once).layer(retry).run(handler).await
            };
            assert_eq!((report.unwrap().counts.acked, bench.seen.len()), (1, 2), "{index}, inside of Retry: {inside}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_put_back_is_handled() {
    let bench = Bench::new().await;
    publish(&bench, QUEUE, "m", "m").await;
    let once = Deduplicate::new(store());
    let worker = bench.worker().await.layer(once.clone()).max_messages(1);
    worker.run(async || Outcome::reject("not today")).await.unwrap();
    let parked = bench.parked().await;
    bench.publisher.publish_one(Outgoing::redrive(&parked[0]).unwrap()).await.unwrap();
    bench.worker().await.layer(once).max_messages(1).run(note).await.unwrap();
    assert_eq!(bench.seen.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_what_is_in_progress_comes_again_later() {
    // The second runs for many leases, so that they have to be renewed.
    for length in [Duration::from_millis(50), 300 * SECOND] {
        let bench = Bench::new().await;
        for _ in 0..3 {
            publish(&bench, QUEUE, "m", "m").await;
        }
        let worker = bench.worker().await.concurrency(3).layer(Deduplicate::new(store()).lease(30 * SECOND));
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(move |State(seen): State<Seen>| async move {
            seen.note("called");
            sleep(length).await;
        }));
        sleep(length + 40 * SECOND).await;
        handle.stop();
        let counts = running.await.unwrap().unwrap().counts;
        assert_eq!((bench.seen.len(), counts.acked), (1, 3), "{counts:?}");
        let most = 2 * (length.as_secs() / 20 + 2);
        assert!((2..=most).contains(&counts.retried), "no busy loop: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_frees_the_key_and_who_dies_keeps_it_for_a_lease() {
    for dies in [false, true] {
        let bench = Bench::new().await;
        publish(&bench, QUEUE, "m", "m").await;
        let broken = Arc::new(Broken::new());
        let once = Deduplicate::new(broken.clone()).lease(30 * SECOND);
        let worker = bench.worker().await.layer(once.clone()).deadline(SECOND);
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(async || sleep(3600 * SECOND).await));
        sleep(SECOND).await;
        // A process that dies tells the store nothing.
        broken.fails(dies);
        handle.cancel();
        running.await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        broken.fails(false);
        let started = Instant::now();
        let worker = bench.worker().await.layer(once);
        let handle = worker.handle();
        let running = tokio::spawn(worker.run(move |State(seen): State<Seen>| async move {
            seen.note(started.elapsed().as_secs().to_string());
        }));
        sleep(60 * SECOND).await;
        handle.stop();
        running.await.unwrap().unwrap();
        let at = bench.seen.all()[0].parse::<u64>().unwrap();
        assert!(if dies { (25..=30).contains(&at) } else { at == 0 }, "after {at} s");
    }
}

/// A store that can be broken.
#[derive(Debug)]
struct Broken {
    inner: MemoryDedupStore,
    fails: AtomicBool,
}

impl Broken {
    fn new() -> Self {
        Self { inner: MemoryDedupStore::default(), fails: AtomicBool::new(false) }
    }

    fn fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        let fails = self.fails.load(Ordering::Relaxed);
        if fails { Err(Error::new(ErrorKind::Connection, "the store is away")) } else { Ok(()) }
    }
}

#[async_trait]
impl DedupStore for Broken {
    async fn claim(&self, key: &str, owner: Owner, lease: Duration) -> Result<Claim, Error> {
        self.check()?;
        self.inner.claim(key, owner, lease).await
    }

    async fn done(&self, key: &str, keep: Duration) -> Result<(), Error> {
        self.check()?;
        self.inner.done(key, keep).await
    }

    async fn free(&self, key: &str, owner: Owner) -> Result<(), Error> {
        self.check()?;
        self.inner.free(key, owner).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_loses_nothing() {
    for (what, handled_meanwhile) in [(OnStoreError::Handle, 2), (OnStoreError::RetryAfter(5 * SECOND), 0)] {
        let bench = Bench::new().await;
        for id in ["a", "a", "b"] {
            publish(&bench, QUEUE, id, if id == "a" { "a" } else { "b" }).await;
        }
        let broken = Arc::new(Broken::new());
        let once = Deduplicate::new(broken.clone()).on_store_error(what);
        let worker = bench.worker().await.layer(once);
        let handle = worker.handle();
        broken.fails(true);
        let running = tokio::spawn(worker.run(note));
        sleep(60 * SECOND).await;
        assert_eq!(bench.seen.all().iter().filter(|body| *body == "a").count(), handled_meanwhile);
        broken.fails(false);
        sleep(60 * SECOND).await;
        handle.stop();
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.counts.acked, bench.left().await), (3, (0, 0)), "{report}");
        let expected = if handled_meanwhile == 0 { 2 } else { 3 };
        assert_eq!(bench.seen.len(), expected, "{what:?}: {:?}", bench.seen.all());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_after_the_handler_does_not_fail_the_message() {
    let bench = Bench::new().await;
    publish(&bench, QUEUE, "m", "m").await;
    let broken = Arc::new(Broken::new());
    let worker = bench.worker().await.layer(Deduplicate::new(broken.clone()).lease(9 * SECOND)).max_messages(1);
    let breaks = async {
        sleep(SECOND).await;
        broken.fails(true);
    };
    let run = worker.run(async || sleep(60 * SECOND).await);
    let (report, ()) = tokio::join!(run, breaks);
    assert_eq!(report.unwrap().counts.acked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_comes_back_after_the_store_was_away_for_longer_than_a_lease() {
    let bench = Bench::new().await;
    publish(&bench, QUEUE, "m", "m").await;
    let broken = Arc::new(Broken::new());
    let once = Deduplicate::new(broken.clone()).lease(9 * SECOND);
    let worker = bench.worker().await.concurrency(2).layer(once);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>| {
        seen.note("called");
        sleep(100 * SECOND).await;
    }));
    sleep(SECOND).await;
    broken.fails(true);
    sleep(30 * SECOND).await;
    broken.fails(false);
    sleep(10 * SECOND).await;
    publish(&bench, QUEUE, "m", "m").await;
    sleep(100 * SECOND).await;
    handle.stop();
    let counts = running.await.unwrap().unwrap().counts;
    assert_eq!((bench.seen.len(), counts.acked), (1, 2), "{counts:?}");
}
