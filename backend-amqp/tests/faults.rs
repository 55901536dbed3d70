//! Connections that break, queues that go away, and a server in need. These disturb the whole server, so they use one
//! of their own, and run one after the other.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::node::{Node, node};
use support::{Bench, ack_all, body, connect, many, next, nothing, secs, settle, take, unique};
use swarrot_conformance::proxy::Proxy;
use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{
    Broker, ConnectionState, Error, ErrorKind, Message, MessageProvider, MessagePublisherExt, Outcome, Outgoing,
    ProviderOptions, PublisherOptions, Settlement,
};

async fn close_connections(node: &Node) {
    node.ctl(&["close_all_connections", "a test"]).await;
}

/// Receives and acknowledges until told to stop; what came, duplicates left out.
fn drain(provider: Arc<dyn MessageProvider>, seen: Arc<Mutex<HashSet<String>>>) -> tokio::task::JoinHandle<usize> {
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            match provider.receive(many(50), secs(1)).await {
                Ok(deliveries) => {
                    count += deliveries.len();
                    seen.lock().expect("not poisoned").extend(deliveries.iter().map(body));
                    let acks: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
                    if let Err(failed) = provider.settle(&acks).await {
                        assert!(failed.is_all(ErrorKind::Stale) || failed.is_all(ErrorKind::Closed), "{failed:?}");
                    }
                }
                Err(error) if error.kind() == ErrorKind::Closed => return count,
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_while_publishing_and_receiving() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 2500;
    let node = node().await;
    for options in [Queue::classic, |queue| queue] {
        let bench = Bench::at("cut", &node.url(), options).await;
        let publisher = bench.publisher().await;
        let done = Arc::new(AtomicBool::new(false));
        let publishing: Vec<_> = (0..PUBLISHERS)
            .map(|p| {
                let (publisher, queue) = (publisher.clone(), bench.queue.clone());
                tokio::spawn(async move {
                    for start in (0..EACH).step_by(50) {
                        let batch: Vec<_> = (start..start + 50)
                            .map(|i| Outgoing::new(&queue, Message::new(format!("{p}-{i}"))))
                            .collect();
                        for result in publisher.publish(&batch).await {
                            result.expect("published in the end");
                        }
                    }
                })
            })
            .collect();
        let provider = bench.provider(100).await;
        let seen = Arc::default();
        let receiving = drain(provider.clone(), Arc::clone(&seen));
        let cutting = tokio::spawn({
            let (node, done) = (node.clone(), Arc::clone(&done));
            async move {
                let mut cuts = 0;
                while !done.load(Ordering::SeqCst) {
                    close_connections(&node).await;
                    cuts += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                cuts
            }
        });
        for publisher in publishing {
            publisher.await.expect("all confirmed");
        }
        done.store(true, Ordering::SeqCst);
        let cuts = cutting.await.expect("no panic");
        let stop = tokio::time::Instant::now() + secs(60);
        while seen.lock().expect("not poisoned").len() < PUBLISHERS * EACH {
            assert!(tokio::time::Instant::now() < stop, "{} came", seen.lock().expect("not poisoned").len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        provider.close().await.expect("closed");
        let received = receiving.await.expect("no panic");
        let duplicates = received - PUBLISHERS * EACH;
        println!("{cuts} cuts, {} published, none lost, {duplicates} came twice", PUBLISHERS * EACH);
        assert!(cuts > 0 && duplicates <= (1024 + 100) * cuts, "{duplicates} for {cuts}");
        bench.end().await;
    }
}

#[tokio::test]
async fn a_receipt_from_before_a_cut_is_stale_and_the_new_channel_lives() {
    let node = node().await;
    let bench = Bench::at("stale", &node.url(), Queue::classic).await;
    bench.fill(5).await;
    let provider = bench.provider(3).await;
    let old = take(&*provider, 3).await;
    close_connections(&node).await;
    let new = take(&*provider, 3).await;
    for outcome in [Outcome::Ack, Outcome::Requeue, Outcome::retry(Duration::ZERO), Outcome::reject("no")] {
        let settlements: Vec<_> = old.iter().map(|d| Settlement::new(d.receipt(), outcome.clone())).collect();
        let failed = provider.settle(&settlements).await.expect_err("stale");
        assert_eq!((failed.failures().len(), failed.is_all(ErrorKind::Stale)), (3, true), "{failed:?}");
    }
    ack_all(&*provider, &new).await;
    let rest = take(&*provider, 2).await;
    ack_all(&*provider, &rest).await;
    nothing(&*provider).await;
    provider.close().await.expect("the channel was never closed");
    let stats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert_eq!((stats.ready, stats.parked), (0, Some(0)));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_dropped_and_cut_lose_nothing() {
    const COUNT: usize = 300;
    let node = node().await;
    let bench = Bench::at("retries", &node.url(), |queue| queue).await;
    bench.fill(COUNT).await;
    let provider = bench.provider(20).await;
    let cutting = tokio::spawn({
        let node = node.clone();
        async move {
            for _ in 0..3 {
                close_connections(&node).await;
            }
        }
    });
    let mut retried = HashSet::new();
    while !cutting.is_finished() || retried.len() < COUNT {
        let Ok(deliveries) = provider.receive(many(20), secs(2)).await else { continue };
        for (i, delivery) in deliveries.iter().enumerate() {
            let settlement = [Settlement::new(delivery.receipt(), Outcome::retry(Duration::ZERO))];
            let patience = Duration::from_micros(u64::try_from(i).expect("small") * 150);
            let _ = tokio::time::timeout(patience, provider.settle(&settlement)).await;
            // Whatever was dropped before it began.
            let _ = provider.settle(&settlement).await;
            if delivery.attempt() > 1 {
                retried.insert(body(delivery));
            }
        }
    }
    cutting.await.expect("no panic");
    provider.close().await.expect("closed");
    let other = bench.provider(200).await;
    let mut bodies = HashSet::new();
    loop {
        let deliveries = other.receive(many(200), secs(1)).await.expect("no error");
        if deliveries.is_empty() {
            break;
        }
        bodies.extend(deliveries.iter().map(body));
        ack_all(&*other, &deliveries).await;
    }
    assert_eq!(bodies.len(), COUNT);
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_queue_of_ours_is_made_again() {
    let node = node().await;
    let bench = Bench::at("deleted", &node.url(), Queue::classic).await;
    let provider = bench.provider(5).await;
    nothing(&*provider).await;
    node.ctl(&["delete_queue", &bench.queue]).await;
    let publisher = bench.publisher().await;
    let stop = tokio::time::Instant::now() + secs(20);
    // The publisher sees the queue again once the provider has made it.
    while publisher.publish_one(Outgoing::new(&bench.queue, Message::new("after"))).await.is_err() {
        assert!(tokio::time::Instant::now() < stop, "the queue does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(body(&next(&*provider).await), "after");
    bench.end().await;
}

#[tokio::test]
async fn a_conflict_over_one_queue_leaves_the_providers_of_others_alone() {
    let node = node().await;
    let bench = Bench::at("conflict", &node.url(), Queue::classic).await;
    // In this order, so that what is behind the conflict has to be declared again too.
    let (other, behind) = (unique("other"), unique("behind"));
    for queue in [&other, &behind] {
        bench.broker.declare(&Topology::new().queue(Queue::new(queue).classic())).await.expect("declared");
    }
    let options = ProviderOptions::default();
    let provider = bench.provider(5).await;
    let second = bench.broker.provider(&behind, options).await.expect("it exists");
    nothing(&*provider).await;
    let stranger = connect(&node.url()).await.expect("the server answers");
    stranger.delete(&other).await.expect("deleted");
    let different = Queue::new(&other).classic().max_length(7);
    stranger.declare(&Topology::new().queue(different)).await.expect("declared in another way");
    stranger.delete(&behind).await.expect("deleted");
    close_connections(&node).await;
    for (queue, provider) in [(&bench.queue, &provider), (&behind, &second)] {
        // Temporary errors are waited out; any other is the end of a worker.
        let receiving = next(&**provider);
        let publishing = async {
            let publisher = bench.publisher().await;
            while publisher.publish_one(Outgoing::new(queue, Message::new("after"))).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (delivery, ()) = tokio::join!(receiving, publishing);
        assert_eq!(body(&delivery), "after");
    }
    for queue in [&other, &behind] {
        stranger.delete(queue).await.expect("deleted");
        stranger.delete(&format!("{queue}.dead")).await.expect("deleted");
    }
    stranger.close().await.expect("closed");
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_queue_of_somebody_else_is_not_found() {
    let node = node().await;
    let bench = Bench::at("foreign", &node.url(), Queue::classic).await;
    let stranger = connect(&node.url()).await.expect("the server answers");
    let provider = stranger.provider(&bench.queue, ProviderOptions::default()).await.expect("it exists");
    nothing(&*provider).await;
    node.ctl(&["delete_queue", &bench.queue]).await;
    let error: Error = loop {
        match provider.receive(many(1), secs(10)).await {
            Ok(deliveries) => assert!(deliveries.is_empty()),
            Err(error) if error.is_temporary() => {}
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), provider.connection()), (ErrorKind::NotFound, ConnectionState::Closed), "{error}");
    // A later call tries again, and works once the queue is back.
    bench.broker.declare(&Topology::new().queue(Queue::new(&bench.queue).classic())).await.expect("declared");
    bench.publish(Message::new("back")).await;
    assert_eq!(body(&next(&*provider).await), "back");
    assert_eq!(provider.connection(), ConnectionState::Connected);
    stranger.close().await.expect("closed");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_need_blocks_publishers_but_not_settling() {
    let node = node().await;
    let bench = Bench::at("alarm", &node.url(), Queue::classic).await;
    bench.fill(20).await;
    let provider = bench.provider(5).await;
    let publisher =
        bench.broker.publisher("", PublisherOptions::default().timeout(secs(2))).await.expect("a publisher");
    publisher.publish_one(Outgoing::new(&bench.queue, Message::new("before"))).await.expect("published");
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1000000"]).await;
    let publish = |body: &'static str| publisher.publish_one(Outgoing::new(&bench.queue, Message::new(body)));
    // The server notices at the first publish, of which it may or may not take note.
    let first = publish("first").await;
    assert!(first.as_ref().map_or_else(|e| e.kind() == ErrorKind::Unknown, |()| true), "{first:?}");
    let second = publish("second").await.expect_err("blocked");
    assert_eq!(second.kind(), ErrorKind::Blocked, "{second}");
    // Receiving and settling go on.
    let mut came = 0;
    while came < 20 {
        let deliveries = take(&*provider, 5).await;
        came += deliveries.len();
        ack_all(&*provider, &deliveries).await;
    }
    bench.broker.ping().await.expect("alive");
    let warnings = bench.broker.describe().await.expect("it tells").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("memory")), "{warnings:?}");
    // A retry needs a copy: it fails, and the original is kept.
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    publish("third").await.expect("published again");
    let mut bodies: Vec<_> = Vec::new();
    while bodies.last().is_none_or(|last| last != "third") {
        let delivery = next(&*provider).await;
        bodies.push(body(&delivery));
        settle(&*provider, &delivery, Outcome::Ack).await;
    }
    assert!(!bodies.contains(&"second".to_owned()), "what failed as blocked was not sent: {bodies:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_connection_that_dies_is_replaced() {
    let node = node().await;
    let proxy = Proxy::start(node.addr()).await.expect("a port");
    let through = node.url().replace(&node.addr().to_string(), &proxy.addr().to_string());
    let bench = Bench::at("blocked", &through, Queue::classic).await;
    let publisher =
        bench.broker.publisher("", PublisherOptions::default().timeout(secs(2))).await.expect("a publisher");
    let publish = |body: &'static str| publisher.publish_one(Outgoing::new(&bench.queue, Message::new(body)));
    publish("before").await.expect("published");
    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1000000"]).await;
    while publish("meanwhile").await.map_or_else(|error| error.kind(), |()| ErrorKind::Unknown) != ErrorKind::Blocked {}
    // The connection goes while the alarm is on, and nobody says of it that the alarm is over.
    proxy.cut().await;
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    publish("after").await.expect("published on a connection of its own");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_queue_without_a_leader_is_replaced() {
    const DELAY: Duration = Duration::from_millis(770);
    let node = node().await;
    let bench = Bench::at("leader", &node.url(), Queue::classic).await;
    let publisher =
        bench.broker.publisher("", PublisherOptions::default().timeout(secs(16))).await.expect("a publisher");
    let publish =
        |body: &'static str, delay| publisher.publish_one(Outgoing::new(&bench.queue, Message::new(body)).delay(delay));
    let provider = bench.provider(10).await;
    publish("before", DELAY).await.expect("the queue is made");
    assert_eq!(body(&next(&*provider).await), "before");
    // What has no leader answers nobody, as this one does now.
    let leader = r#"whereis(list_to_atom("%2F_swarrot.delay.770"))"#;
    node.ctl(&["eval", &format!("sys:suspend({leader}).")]).await;
    let error = publish("meanwhile", DELAY).await.expect_err("nobody confirms");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    publish("at once", Duration::ZERO).await.expect("the channel works");
    assert_eq!(body(&next(&*provider).await), "at once");
    publish("after", DELAY).await.expect("another queue takes it");
    assert_eq!(body(&next(&*provider).await), "after");
    node.ctl(&["eval", &format!("sys:resume({leader}).")]).await;
    node.ctl(&["delete_queue", "swarrot.delay.770"]).await;
    node.ctl(&["delete_queue", "swarrot.delay.770-2"]).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind() {
    let node = node().await;
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("lapin")).count()
    };
    let before = threads();
    for round in 0..5 {
        let bench = Bench::at("leak", &node.url(), Queue::classic).await;
        bench.fill(10).await;
        let (held, dropped) = (bench.provider(2).await, bench.provider(2).await);
        take(&*held, 1).await;
        take(&*dropped, 1).await;
        drop(dropped);
        if round % 2 == 0 {
            close_connections(&node).await;
            take(&*held, 1).await;
        }
        bench.end().await;
    }
    let tasks = tokio::runtime::Handle::current().metrics();
    let stop = tokio::time::Instant::now() + secs(10);
    while threads() > before || tasks.num_alive_tasks() > 0 {
        assert!(
            tokio::time::Instant::now() < stop,
            "{} threads, {} before, {} tasks",
            threads(),
            before,
            tasks.num_alive_tasks()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_server_shows_who_we_are() {
    let node = node().await;
    let name = unique("service");
    let bench = Bench::at("name", &format!("{}?name={name}", node.url()), Queue::classic).await;
    let provider = bench.provider(7).await;
    nothing(&*provider).await;
    bench.fill(1).await;
    let connections = node.ctl(&["list_connections", "client_properties"]).await;
    for role in ["receive", "publish"] {
        assert!(connections.contains(&format!("{name} ({role})")), "{connections}");
    }
    let consumers = node.ctl(&["list_consumers", "queue_name", "consumer_tag", "prefetch_count"]).await;
    let ours = consumers.lines().find(|line| line.contains(&bench.queue)).expect("a consumer");
    assert!(ours.contains(&name) && ours.contains('7'), "{ours}");
    bench.end().await;
}
