//! Headers, properties and bodies: what goes in comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use swarrot_core::message::names;
use swarrot_core::{Headers, Message, Outcome, Outgoing, Value};

use crate::run::{Case, Context, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, ms, secs, text};

const GROUP: &str = "headers_and_body";

pub(super) const CASES: &[Case] = &[
    case!(random_bytes),
    case!(weird_keys_values),
    case!(typed),
    case!(properties),
    case!(trace_context),
    case!(foreign_message),
];

async fn random_bytes(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let mut rng = fastrand::Rng::with_seed(73);
    for length in [1, 2, 255, 256, 4095, 4096, 65_535, 131_072, 131_073] {
        let mut body = vec![0; length];
        rng.fill(&mut body);
        publisher.send_body(&queue, body.clone()).await;
        assert!(provider.one_acked().await.body() == &body, "{length} random bytes arrived changed");
    }
    let every_byte: Vec<u8> = (0..=255).collect();
    publisher.send_body(&queue, every_byte.clone()).await;
    assert_eq!(provider.one_acked().await.body(), &every_byte);
}

/// These headers go out, come in, and survive a retry and a requeue.
async fn round_trip(cx: &Context, headers: Headers) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let mut message = Message::new("body");
    message.headers = headers.clone();
    publisher.send(Outgoing::new(&queue, message)).await;
    let delivery = provider.one().await;
    assert_same(delivery.headers(), &headers);
    provider.settle_one(&delivery, Outcome::retry(Duration::ZERO)).await;
    let retried = provider.one().await;
    let mut own = retried.headers().clone();
    own.retain(|name, _| !name.starts_with(names::PREFIX));
    assert_same(&own, &headers);
    provider.settle_one(&retried, Outcome::Requeue).await;
    let requeued = provider.one_acked().await;
    assert_same(requeued.headers(), retried.headers());
}

/// One by one, so that a failure names the header.
#[track_caller]
fn assert_same(arrived: &Headers, expected: &Headers) {
    for (name, value) in expected.iter() {
        assert_eq!(arrived.get(name), Some(value), "header {name:?}");
    }
    let more: Vec<_> = arrived.iter().map(|(name, _)| name).filter(|name| !expected.contains(name)).collect();
    assert!(more.is_empty(), "headers that nobody sent: {more:?}");
}

async fn weird_keys_values(cx: &Context) {
    let longest = "k".repeat(255);
    let headers = [
        ("a/b", "slash / and \\ backslash"),
        ("with \"quotes\"", "'single' \"double\" `back`"),
        ("emoji 🦀", "🦀🦀 ünïcödé \u{202e}right to left"),
        ("empty value", ""),
        (" spaces ", "  kept  "),
        ("line\nbreak", "a\r\nb\tc\0d"),
        ("CaseMatters", "upper"),
        ("casematters", "lower"),
        ("dots.and:colons", "{\"json\": [1, 2]}"),
        (&longest, &"v".repeat(8192)),
    ];
    round_trip(cx, headers.into_iter().collect()).await;
}

async fn typed(cx: &Context) {
    let map =
        |entries: [(&str, Value); 2]| Value::Map(BTreeMap::from(entries.map(|(name, value)| (name.to_owned(), value))));
    let nested = Value::List(vec![
        Value::Int(1),
        map([("deep", Value::List(vec![Value::Null, Value::Bool(false)])), ("text", Value::from("t"))]),
        Value::List(vec![]),
        Value::Timestamp(0),
    ]);
    let headers: [(&str, Value); 18] = [
        ("null", Value::Null),
        ("true", true.into()),
        ("false", false.into()),
        ("zero", 0_i64.into()),
        ("small", 7_i64.into()),
        ("negative", (-129_i64).into()),
        ("least", i64::MIN.into()),
        ("most", i64::MAX.into()),
        ("float", 1.5.into()),
        ("tiny", f64::MIN_POSITIVE.into()),
        ("infinite", f64::NEG_INFINITY.into()),
        ("string", "text".into()),
        ("number as text", "42".into()),
        ("bytes", Bytes::from_static(&[0, 159, 146, 150, 255]).into()),
        ("text as bytes", Bytes::from_static(b"text").into()),
        ("timestamp", Value::Timestamp(1_700_000_000)),
        ("list", nested.clone()),
        ("map", map([("one", Value::Int(1)), ("list", nested)])),
    ];
    round_trip(cx, headers.into_iter().collect()).await;
}

async fn properties(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let mut sent = Message::new("<p>hi</p>")
        .id("id-76")
        .message_type("greeting")
        .content_type("text/html; charset=utf-8")
        .correlation_id("request-1")
        .reply_to("answers")
        .priority(3);
    sent.properties.content_encoding = Some("identity".to_owned());
    sent.properties.timestamp = Some(1_700_000_000);
    sent.properties.app_id = Some("the suite".to_owned());
    if cx.capabilities().ttl {
        sent = sent.ttl(secs(3600));
    }
    publisher.send(Outgoing::new(&queue, sent.clone())).await;
    let delivery = provider.one().await;
    assert_eq!(delivery.message().properties, sent.properties);
    provider.settle_one(&delivery, Outcome::retry(Duration::ZERO)).await;
    let retried = provider.one_acked().await;
    assert_eq!(retried.message().properties, sent.properties, "after a retry");

    publisher.send_body(&queue, "bare").await;
    let mut bare = provider.one_acked().await.message().properties.clone();
    assert!(bare.message_id.take().is_some_and(|id| !id.is_empty()), "a message without an id gets one");
    assert_eq!(bare, Message::new("").properties, "nobody set more than the id");
}

async fn trace_context(cx: &Context) {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let message = Message::new("traced").header("traceparent", PARENT).header("tracestate", "vendor=1");
    publisher.send(Outgoing::new(&queue, message)).await;
    let traced = |delivery: &swarrot_core::Delivery| {
        assert_eq!(delivery.headers().get("traceparent").and_then(Value::as_str), Some(PARENT));
        assert_eq!(delivery.headers().get("tracestate").and_then(Value::as_str), Some("vendor=1"));
    };
    let first = provider.one().await;
    traced(&first);
    // Where there are delays, on the way of a delayed one.
    let after = if cx.capabilities().max_delay.is_some() { ms(100) } else { Duration::ZERO };
    provider.settle_one(&first, Outcome::retry(after)).await;
    let second = provider.one().await;
    traced(&second);
    if !cx.capabilities().dead_letter {
        return provider.ack(&second).await;
    }
    provider.settle_one(&second, Outcome::reject("no more")).await;
    let dead = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await;
    let parked = dead.one().await;
    traced(&parked);
    publisher.send(Outgoing::redrive(&parked).expect("it says where it came from")).await;
    dead.ack(&parked).await;
    traced(&provider.one_acked().await);
}

async fn foreign_message(cx: &Context) {
    let Setup { broker, queue, provider, .. } = cx.setup().await;
    let body = b"foreign \xff\x00 bytes";
    cx.harness().raw_publish(&queue, body).await.expect("the plain client publishes");
    let delivery = provider.one().await;
    assert_eq!(delivery.body(), body.as_slice());
    assert_eq!((delivery.attempt(), delivery.redelivered(), delivery.queue()), (1, false, queue.as_str()));
    let ours = delivery.headers().iter().any(|(name, _)| name.starts_with(names::PREFIX));
    assert!(!ours, "a foreign message has no headers of ours: {delivery:?}");

    // It is retried, requeued and parked like any other.
    provider.settle_one(&delivery, Outcome::retry(Duration::ZERO)).await;
    let second = provider.one().await;
    assert_eq!((second.body().as_ref(), second.attempt()), (body.as_slice(), 2));
    provider.settle_one(&second, Outcome::Requeue).await;
    let third = provider.one().await;
    assert_eq!((third.body().as_ref(), third.attempt()), (body.as_slice(), 2));
    if !cx.capabilities().dead_letter {
        return provider.ack(&third).await;
    }
    provider.settle_one(&third, Outcome::reject("foreign and hopeless")).await;
    let dead = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await;
    let parked = dead.one_acked().await;
    assert_eq!(parked.body(), body.as_slice());
    assert!(!parked.id().is_empty(), "a copy has an id, also of a message that had none: {}", text(&parked));
    provider.nothing().await;
}
