//! What is done, remembered by a real server: raced for, killed in between, and shared by processes.

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use swarrot_conformance::brokers::Redis;
use swarrot_core::layer::{Claim, DedupStore as _, Deduplicate, Owner};
use swarrot_core::{Broker as _, MessagePublisherExt as _};
use swarrot_core::{ErrorKind, Message, Outgoing, Worker};
use swarrot_redis::RedisDedupStore;
use tokio::time::{Instant, sleep};

use support::{PATIENCE, connect, ms, provider, publisher, run, secs, server, with_queue, words};

const LEASE: Duration = secs(10);

async fn store(server: &Redis) -> RedisDedupStore {
    RedisDedupStore::connect(&server.url().parse().expect("a URL")).await.expect("connects")
}

async fn claim(store: &RedisDedupStore, key: &str, owner: Owner) -> Claim {
    store.claim(key, owner, LEASE).await.expect("an answer")
}

#[tokio::test]
async fn a_claim_is_one_owners_until_it_is_freed_done_or_ends() {
    let server = server();
    let store = store(&server).await;
    let (one, other) = (Owner::unique(), Owner::unique());
    assert_eq!(claim(&store, "k", one).await, Claim::Granted);
    assert_eq!(claim(&store, "k", one).await, Claim::Granted, "begun anew");
    let Claim::InProgress(left) = claim(&store, "k", other).await else { panic!("it is another's") };
    assert!(left > LEASE / 2 && left <= LEASE, "{left:?}");
    store.free("k", other).await.expect("an answer");
    assert!(matches!(claim(&store, "k", other).await, Claim::InProgress(_)), "freed by its owner only");
    store.free("k", one).await.expect("an answer");
    assert_eq!(store.claim("k", other, ms(50)).await.expect("an answer"), Claim::Granted);
    sleep(ms(60)).await;
    assert_eq!(claim(&store, "k", one).await, Claim::Granted, "the lease has ended");
    store.done("k", secs(60)).await.expect("an answer");
    store.free("k", one).await.expect("an answer");
    assert_eq!((claim(&store, "k", one).await, claim(&store, "k", other).await), (Claim::Done, Claim::Done));
    store.done("short", ms(50)).await.expect("an answer");
    sleep(ms(60)).await;
    assert_eq!(claim(&store, "short", one).await, Claim::Granted);
    for time in [Duration::ZERO, Duration::MAX] {
        store.claim("odd", one, time).await.expect("no time is too odd");
        store.done("odd", time).await.expect("no time is too odd");
    }
    let keys: Vec<String> = run(&server, &words("KEYS *")).await;
    assert!(keys.iter().all(|key| key.starts_with("swarrot:dedup:")), "{keys:?}");
    for key in &keys {
        assert!(run::<i64>(&server, &words(&format!("PTTL {key}"))).await > 0, "{key} never ends");
    }
}

#[tokio::test]
async fn of_many_connections_at_once_one_is_granted() {
    let server = server();
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(store(&server).await);
    }
    for round in 0..50 {
        let key = format!("k{round}");
        let claims = stores.iter().map(|store| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { claim(&store, &key, Owner::unique()).await })
        });
        let claims: Vec<_> = claims.collect();
        let mut granted = 0;
        for one in claims {
            granted += usize::from(one.await.expect("no panic") == Claim::Granted);
        }
        assert_eq!(granted, 1, "{key}");
    }
}

const URL: &str = "SWARROT_TEST_DEDUP_URL";

/// The process of the test below: claims a hundred keys, and prints those that it was granted.
#[tokio::test]
async fn a_process_that_claims() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = RedisDedupStore::connect(&url.parse().expect("a URL")).await.expect("connects");
    let owner = Owner::unique();
    for key in 0..100 {
        if claim(&store, &key.to_string(), owner).await == Claim::Granted {
            println!("granted {key}");
        }
    }
}

#[test]
fn of_several_processes_one_is_granted() {
    let server = server();
    let start = || {
        Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "a_process_that_claims", "--nocapture"])
            .env(URL, server.url())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let processes = [start(), start(), start()];
    let mut granted = Vec::new();
    for process in processes {
        let output = process.wait_with_output().expect("ends");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        // The first is in the line that the test's name begins.
        let keys = text.lines().filter_map(|line| line.split_once("granted ")).map(|(_, key)| key.to_owned());
        granted.extend(keys);
    }
    granted.sort_by_key(|key| key.parse::<u32>().ok());
    assert_eq!(granted, (0..100).map(|key| key.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_knows_what_it_has_said() {
    let server = server();
    let store = store(&server).await;
    let (one, other) = (Owner::unique(), Owner::unique());
    let long = secs(600);
    store.claim("claimed", one, long).await.expect("an answer");
    store.done("done", long).await.expect("an answer");
    server.kill().expect("dies");
    let error = store.claim("claimed", other, long).await.expect_err("nobody is there");
    assert!(error.is_temporary() && error.kind() == ErrorKind::Connection, "{error:?}");
    assert!(error.to_string().starts_with("claim: "), "{error}");
    server.restart().expect("comes back");
    let deadline = Instant::now() + PATIENCE;
    let claimed = loop {
        match store.claim("claimed", other, long).await {
            Ok(claim) => break claim,
            Err(error) => assert!(error.is_temporary() && Instant::now() < deadline, "{error:?}"),
        }
    };
    assert!(matches!(claimed, Claim::InProgress(_)), "{claimed:?}");
    assert_eq!(claim(&store, "done", other).await, Claim::Done);
    assert_eq!(store.claim("claimed", one, long).await.expect("an answer"), Claim::Granted);
}

#[tokio::test]
async fn two_workers_handle_each_message_once_while_the_server_dies_in_between() {
    // The queue's server and the store's are two, so that only the store goes away.
    let (queues, keys) = (server(), server());
    let broker = with_queue(&queues).await;
    let publisher = publisher(&broker).await;
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut running = Vec::new();
    for _ in 0..2 {
        let store = Arc::new(store(&keys).await);
        let other = connect(&queues.url()).await;
        let worker = Worker::new(provider(&other, "q", 20).await).signals_off().concurrency(10);
        let calls = Arc::clone(&calls);
        let handler = move |body: String| {
            let calls = Arc::clone(&calls);
            async move {
                calls.lock().expect("no panic").push(body);
                // A renewal or two, and a time to be killed in.
                sleep(ms(1500)).await;
            }
        };
        let worker = worker.layer(Deduplicate::new(store).lease(secs(3)));
        running.push((worker.handle(), tokio::spawn(worker.run(handler))));
    }
    let publish = async |ids: std::ops::Range<usize>| {
        for id in ids {
            for _ in 0..2 {
                let message = Message::new(id.to_string()).id(format!("id-{id}"));
                publisher.publish_one(Outgoing::new("q", message)).await.expect("publishes");
            }
        }
    };
    publish(0..8).await;
    sleep(ms(500)).await;
    keys.kill().expect("dies");
    sleep(ms(300)).await;
    keys.restart().expect("comes back");
    sleep(secs(1)).await;
    publish(8..16).await;
    let deadline = Instant::now() + 2 * PATIENCE;
    let acked = || running.iter().map(|(handle, _)| handle.health().counts.acked).sum::<u64>();
    while acked() < 32 {
        assert!(Instant::now() < deadline, "{} of 32 acked", acked());
        sleep(ms(50)).await;
    }
    for (handle, running) in running {
        handle.stop();
        running.await.expect("no panic").expect("a report");
    }
    let mut calls = calls.lock().expect("no panic").clone();
    calls.sort_by_key(|id| id.parse::<u32>().ok());
    assert_eq!(calls, (0..16).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(broker.stats("q").await.expect("stats").ready, 0);
}

#[tokio::test]
async fn it_comes_from_a_broker_or_a_url_and_says_no_secret() {
    let server = server();
    let broker = with_queue(&server).await;
    let (of_broker, of_url) = (broker.dedup_store(), store(&server).await);
    let owner = Owner::unique();
    assert_eq!(claim(&of_broker, "k", owner).await, Claim::Granted);
    broker.close().await.expect("closes");
    assert!(matches!(claim(&of_url, "k", Owner::unique()).await, Claim::InProgress(_)));
    assert_eq!(claim(&of_broker, "k", owner).await, Claim::Granted, "the broker's end is not its own");
    let elsewhere = format!("{}?prefix=other", server.url()).parse().expect("a URL");
    let elsewhere = RedisDedupStore::connect(&elsewhere).await.expect("connects");
    assert_eq!(claim(&elsewhere, "k", Owner::unique()).await, Claim::Granted);
    let refused = format!("redis://u:hunter2@{}", server.addr()).parse().expect("a URL");
    let error = RedisDedupStore::connect(&refused).await.expect_err("no such user");
    assert_eq!(error.kind(), ErrorKind::AccessRefused);
    assert!(!format!("{error} {error:?} {of_url:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn the_rights_that_the_docs_list_are_enough() {
    let server = server();
    let docs = include_str!("../src/lib.rs").replace("\n//! ", " ");
    let (_, rights) = docs.split_once("`ACL SETUSER worker on >secret ").expect("the docs name them");
    let (rights, _) = rights.split_once('`').expect("in code");
    run::<()>(&server, &words(&format!("ACL SETUSER worker on >secret {rights}"))).await;
    let url = format!("redis://worker:secret@{}", server.addr()).parse().expect("a URL");
    let store = RedisDedupStore::connect(&url).await.expect("connects");
    let owner = Owner::unique();
    assert_eq!(claim(&store, "k", owner).await, Claim::Granted);
    store.free("k", owner).await.expect("frees");
    store.done("k", secs(1)).await.expect("notes");
}
