//! What one connection does to another's users: calls that fail, and calls that nobody waits for any more.

mod support;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use support::{Bench, connect, kind, next, nothing, settle, unique, url};
use swarrot_conformance::proxy::{Direction, Proxy};
use swarrot_core::topology::Queue;
use swarrot_core::{
    Broker as _, BrokerUrl, ErrorKind, Message, MessagePublisherExt as _, Outcome, Outgoing, ProviderOptions,
    PublisherOptions, Sweep,
};
use tokio::time::timeout;

/// A proxy before the server, and the server's URL by way of it.
async fn proxied() -> (Proxy, String) {
    let server: BrokerUrl = url().parse().expect("a URL");
    let (host, port) = server.hosts.first().cloned().unwrap_or_else(|| ("localhost".to_owned(), None));
    let server = tokio::net::lookup_host((host.as_str(), port.unwrap_or(5672))).await.expect("a host").next();
    let proxy = Proxy::start(server.expect("an address")).await.expect("a port");
    let name = server_part(&url());
    let through = url().replacen(&name, &proxy.addr().to_string(), 1);
    (proxy, through)
}

/// Host and port of a URL.
fn server_part(url: &str) -> String {
    let rest = url.split_once("://").expect("a URL").1;
    let authority = rest.split(['/', '?']).next().expect("an authority");
    authority.rsplit('@').next().expect("a host").to_owned()
}

#[tokio::test]
async fn channels_that_the_server_closed_do_not_use_a_connection_up() {
    // As many as a connection has numbers for, and some more.
    const CHANNELS: usize = 2047 + 10;
    let bench = Bench::classic("numbers").await;
    for _ in 0..3 {
        let missing = bench.broker.provider(&unique("missing"), ProviderOptions::default()).await;
        assert_eq!(kind(missing), ErrorKind::NotFound);
    }
    for channel in 0..CHANNELS {
        bench.broker.ping().await.unwrap_or_else(|error| panic!("at channel {channel}: {error}"));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_sweep_that_lost_what_it_held_says_so() {
    const SOME: NonZeroUsize = NonZeroUsize::new(50).expect("not zero");
    let bench = Bench::classic("sweep").await;
    for number in 0..100 {
        bench.publish(Message::new(format!("{number:02}"))).await;
    }
    let (proxy, through) = proxied().await;
    let broker = connect(&through).await.expect("the server answers");
    let mut sweep = Sweep::open(&broker, &bench.queue).await.expect("opens");
    let mut held = Vec::new();
    while held.len() < 50 {
        held.extend(sweep.next(NonZeroUsize::MIN).await.expect("one"));
    }
    proxy.cut().await;
    let noticed = async {
        for delivery in &held {
            if sweep.done(&[delivery.receipt()]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), noticed).await.expect("the provider notices that its connection is gone");
    // What it held comes again, in the place of the rest, and no try to connect has failed.
    let error = sweep.next(SOME).await.expect_err("what it held has gone back");
    assert!(error.is_temporary() && error.to_string().contains("went back to the queue"), "{error}");
    sweep.close().await.expect("closes");

    let mut sweep = Sweep::open(&broker, &bench.queue).await.expect("opens");
    let mut seen = Vec::new();
    loop {
        let next = sweep.next(SOME).await.expect("some");
        if next.is_empty() {
            break;
        }
        seen.extend(next.iter().map(|delivery| delivery.body().clone()));
    }
    assert!(seen.is_sorted() && seen.len() >= 50, "{seen:?}");
    assert_eq!(seen.last().expect("some"), "99");
    sweep.close().await.expect("closes");
    broker.close().await.expect("closes");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn reconnections_leave_no_memory_behind() {
    const BROKERS: usize = 20;
    const CUTS: usize = 60;
    let (proxy, through) = proxied().await;
    let mut users = Vec::new();
    for _ in 0..BROKERS {
        let bench = Bench::at("memory", &through, Queue::classic).await;
        let (publisher, provider) = (bench.publisher().await, bench.provider(10).await);
        users.push((bench, publisher, provider));
    }
    let mut memory = Vec::new();
    while memory.len() < CUTS {
        let each = users.iter().map(|(bench, publisher, provider)| async {
            let outgoing = Outgoing::new(&bench.queue, Message::new("through"));
            while let Err(error) = publisher.publish_one(outgoing.clone()).await {
                assert!(error.is_temporary(), "{error}");
            }
            let delivery = next(&**provider).await;
            settle(&**provider, &delivery, Outcome::Ack).await;
        });
        futures_util::future::join_all(each).await;
        memory.push(memory_stats::memory_stats().expect("the system tells").physical_mem >> 10);
        if memory.len() < CUTS {
            proxy.cut().await;
        }
    }
    let connections = proxy.counters().connections;
    // What is learnt and pooled has its size after a third.
    let (early, late) = (memory[CUTS / 3], memory[CUTS - 1]);
    futures_util::future::join_all(users.into_iter().map(|(bench, ..)| bench.end())).await;
    println!("{connections} connections, KiB in use: {memory:?}");
    assert!(late < early + early / 10 + 1024, "{early} KiB, then {late} KiB after {connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_that_the_server_refuses_breaks_no_connection() {
    let bench = Bench::classic("crossing").await;
    bench.publish(Message::new("held")).await;
    let (proxy, through) = proxied().await;
    let broker = connect(&through).await.expect("the server answers");
    let provider = broker.provider(&bench.queue, ProviderOptions::default()).await.expect("it exists");
    let held = next(&*provider).await;
    let connections = proxy.counters().connections;
    proxy.delay(Duration::from_millis(20));
    let missing = unique("missing");
    let mut dropped = 0;
    for patience in 0..50 {
        // It takes one round trip to open a channel, and another one to be refused.
        let call = timeout(Duration::from_millis(30 + 2 * patience), broker.stats(&missing)).await;
        dropped += usize::from(call.is_err());
    }
    assert!(dropped > 10, "{dropped}");
    proxy.delay(Duration::ZERO);
    broker.ping().await.expect("alive");
    settle(&*provider, &held, Outcome::Ack).await;
    nothing(&*provider).await;
    assert_eq!(proxy.counters().connections, connections, "none was made anew");
    broker.close().await.expect("closed");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_channels_break_comes_back_slower_and_slower() {
    // What a client sends until it has published: three frames to connect, two to open a channel, one of the message.
    const FRAMES: u64 = 6;
    let bench = Bench::classic("slower").await;
    let (proxy, through) = proxied().await;
    let broker = connect(&through).await.expect("the server answers");
    let publisher = broker.publisher("", PublisherOptions::default().timeout(Duration::from_secs(5))).await;
    let before = proxy.counters().connections;
    proxy.cut_after_frames(Direction::ToServer, FRAMES);
    let proxy = Arc::new(proxy);
    let cutting = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            for cuts in 1.. {
                proxy.until(|counters| counters.cuts >= cuts).await;
                proxy.cut_after_frames(Direction::ToServer, FRAMES);
            }
        }
    });
    let result = publisher.expect("a publisher").publish_one(Outgoing::new(&bench.queue, Message::new("x"))).await;
    assert_eq!(kind(result), ErrorKind::Unknown);
    cutting.abort();
    let made = proxy.counters().connections - before;
    assert!((2..30).contains(&made), "{made} connections in five seconds");
    broker.close().await.expect("closed");
    bench.end().await;
}
