//! Messages that lapin cannot read: over the first kind it breaks the connection, over the second it overflows its
//! stack, and both come back each time. Here they are delivered.

mod support;

use std::time::Duration;

use support::raw::{RawPublisher, long, short};
use support::{Bench, body, next, nothing, settle};
use swarrot_conformance::brokers::{RabbitMq, Start};
use swarrot_core::message::names;
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{
    Broker as _, Message, MessagePublisherExt as _, Outcome, Outgoing, ProviderOptions, PublisherOptions, Value,
};
use tokio::task::spawn_blocking;

/// Flags of the properties `headers`, `message-id` and `type`.
const HEADERS: u16 = 1 << 13;
const MESSAGE_ID: u16 = 1 << 7;
const TYPE: u16 = 1 << 5;

fn raw() -> RawPublisher {
    RawPublisher::connect(&support::url())
}

fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [&short(name)[..], &[kind], value].concat()
}

fn headers(table: &[u8]) -> Vec<u8> {
    [&HEADERS.to_be_bytes()[..], &long(table)].concat()
}

#[tokio::test]
async fn text_that_is_not_utf_8() {
    for bench in [Bench::new("latin").await, Bench::classic("latin-classic").await] {
        let table = entry(b"pr\xe9nom", b'S', &long("Zoë".as_bytes()));
        let flags = (HEADERS | MESSAGE_ID | TYPE).to_be_bytes();
        let properties = [&flags[..], &long(&table), &short(b"id-\xe9"), &short(b"\xfcber")].concat();
        raw().publish("", bench.queue.as_bytes(), &properties, b"in Latin-1");
        let provider = bench.provider(10).await;
        let first = next(&*provider).await;
        assert_eq!((first.id(), body(&first).as_str()), ("id-é", "in Latin-1"));
        assert_eq!(first.message().properties.message_type.as_deref(), Some("über"));
        assert_eq!(first.headers().get("prénom"), Some(&"Zoë".into()));
        assert!(!first.redelivered(), "at the first delivery");
        // And it is a message like any other from then on.
        settle(&*provider, &first, Outcome::retry(Duration::ZERO)).await;
        let second = next(&*provider).await;
        assert_eq!((second.attempt(), second.id()), (2, "id-é"));
        settle(&*provider, &second, Outcome::reject("enough")).await;
        let dead = bench.broker.provider(&format!("{}.dead", bench.queue), ProviderOptions::default()).await;
        let parked = next(&*dead.expect("there is one")).await;
        assert_eq!(parked.headers().get("prénom"), Some(&"Zoë".into()));
        bench.end().await;
    }
}

#[tokio::test]
async fn a_routing_key_that_is_not_utf_8() {
    let bench = Bench::new("key").await;
    let exchange = support::unique("key-exchange");
    let topology = Topology::new().exchange(Exchange::topic(&exchange)).bind(&exchange, &bench.queue, "#");
    bench.broker.declare(&topology).await.expect("declares");
    raw().publish(&exchange, b"caf\xe9.noir", &[0, 0], b"bound by all");
    let provider = bench.provider(10).await;
    let delivery = next(&*provider).await;
    assert_eq!((delivery.routing_key(), body(&delivery).as_str()), ("café.noir", "bound by all"));
    settle(&*provider, &delivery, Outcome::Ack).await;
    bench.end().await;
    support::delete_exchange(&exchange).await;
}

#[tokio::test]
async fn headers_nested_thousands_deep() {
    for (name, depth) in [("deep-200", 200), ("deep-5000", 5000), ("deep-10000", 10_000)] {
        let bench = Bench::classic(name).await;
        let table = (0..depth).fold(Vec::new(), |inner, _| entry(b"k", b'F', &long(&inner)));
        raw().publish("", bench.queue.as_bytes(), &headers(&table), b"deep");
        bench.publish(Message::new("behind it")).await;
        let provider = bench.provider(10).await;
        let delivery = next(&*provider).await;
        assert_eq!(body(&delivery), "deep");
        let mut value = delivery.headers().get("k");
        let mut levels = 0;
        while let Some(Value::Map(map)) = value {
            value = map.get("k");
            levels += 1;
        }
        assert!((60..=64).contains(&levels), "{levels}");
        assert!(matches!(value, Some(Value::String(note)) if note.ends_with("bytes left out]")), "{value:?}");
        settle(&*provider, &delivery, Outcome::Ack).await;
        assert_eq!(body(&next(&*provider).await), "behind it");
        bench.end().await;
    }
}

#[tokio::test]
async fn headers_as_large_as_a_frame() {
    let bench = Bench::classic("large").await;
    let table: Vec<u8> =
        (0..1000).flat_map(|n| entry(format!("{n:03}\u{ff}").as_bytes(), b'S', &long(&[b'x'; 100]))).collect();
    raw().publish("", bench.queue.as_bytes(), &headers(&table), b"large");
    let provider = bench.provider(10).await;
    let delivery = next(&*provider).await;
    assert_eq!(delivery.headers().iter().count(), 1000);
    settle(&*provider, &delivery, Outcome::Ack).await;
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn more_headers_than_a_copy_has_room_for() {
    let bench = Bench::new("many").await;
    // Of one byte each; what a client writes is larger.
    let table: Vec<u8> = (0..7500).flat_map(|n| entry(format!("{n:06}").as_bytes(), b'b', &[1])).collect();
    raw().publish("", bench.queue.as_bytes(), &headers(&table), b"many");
    let provider = bench.provider(1).await;
    for outcome in [Outcome::retry(Duration::ZERO), Outcome::reject("too many")] {
        let delivery = next(&*provider).await;
        assert!(delivery.headers().iter().count() > 1000);
        settle(&*provider, &delivery, outcome).await;
    }
    let dead = bench.broker.provider(&format!("{}.dead", bench.queue), ProviderOptions::default()).await;
    let parked = next(&*dead.expect("there is one")).await;
    assert!(parked.headers().get(names::LEFT_OUT).and_then(Value::as_int) > Some(1000));
    assert_eq!(body(&parked), "many");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_small_frames() {
    let start = Start::new().config("frame_max = 8192");
    let node = spawn_blocking(move || RabbitMq::start(&start)).await.expect("no panic").expect("a node");
    let broker = support::connect(&node.url()).await.expect("the server answers");
    broker.declare(&Topology::new().queue(Queue::new("q"))).await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    let large = (0..20).fold(Message::new("b"), |message, n| message.header(format!("h{n}"), "x".repeat(385)));
    publisher.publish_one(Outgoing::new("q", large)).await.expect("it fits");
    let provider = broker.provider("q", ProviderOptions::default()).await.expect("a provider");
    settle(&*provider, &next(&*provider).await, Outcome::reject("no room")).await;
    let dead = broker.provider("q.dead", ProviderOptions::default()).await.expect("a provider");
    let parked = next(&*dead).await;
    assert_eq!(parked.headers().get(names::LEFT_OUT).and_then(Value::as_int), Some(20));
    assert_eq!(parked.message().failure().and_then(|failure| failure.reason).as_deref(), Some("no room"));
    broker.close().await.expect("closes");
}

#[tokio::test]
async fn headers_that_would_be_too_large_for_a_frame() {
    let bench = Bench::classic("grows").await;
    let table: Vec<u8> =
        (0..900).flat_map(|n| entry(&[format!("{n:03}").as_bytes(), &[0xe9; 124]].concat(), b't', &[1])).collect();
    raw().publish("", bench.queue.as_bytes(), &headers(&table), b"large");
    bench.publish(Message::new("behind it")).await;
    let provider = bench.provider(10).await;
    let delivery = next(&*provider).await;
    assert_eq!((body(&delivery).as_str(), delivery.redelivered()), ("large", false));
    assert_eq!(delivery.headers().get(&format!("007{}", "?".repeat(124))), Some(&true.into()));
    settle(&*provider, &delivery, Outcome::Ack).await;
    let delivery = next(&*provider).await;
    assert_eq!(body(&delivery), "behind it");
    settle(&*provider, &delivery, Outcome::Ack).await;
    bench.end().await;
}
