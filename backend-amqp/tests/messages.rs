//! What goes in comes out.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use support::{Bench, ack_all, body, many, next, nothing, secs, settle, take};
use swarrot_core::message::names;
use swarrot_core::{Broker, Message, MessagePublisherExt, Outcome, Outgoing, ProviderOptions, QueueStats, Value};

fn full(queue: &str) -> Message {
    let mut message = Message::new(Bytes::from_static(b"\0\xff body"))
        .id("id-1")
        .content_type("text/plain")
        .message_type("greeting")
        .correlation_id("correlated")
        .reply_to(queue)
        .priority(3)
        .ttl(secs(60))
        .header("null", Value::Null)
        .header("bool", true)
        .header("int", i64::MIN)
        .header("float", 0.1)
        .header("text", "té\"xt/ \u{1f600}")
        .header("empty", "")
        .header("bytes", Value::Bytes(Bytes::from_static(&[0, 159, 146, 150])))
        .header("time", Value::Timestamp(1_700_000_000))
        .header("k".repeat(255), 1_i64)
        .header("list", vec![Value::Int(1), Value::List(vec![Value::Null])])
        .header("map", BTreeMap::from([("é".to_owned(), Value::Map(BTreeMap::new()))]));
    message.properties.content_encoding = Some("gzip".to_owned());
    message.properties.timestamp = Some(1_700_000_000);
    message.properties.user_id = Some("guest".to_owned());
    message.properties.app_id = Some("tests".to_owned());
    message
}

#[tokio::test]
async fn every_property_and_value_arrives() {
    for bench in [Bench::new("round").await, Bench::classic("round-classic").await] {
        let message = full(&bench.queue);
        bench.publish(message.clone()).await;
        let provider = bench.provider(10).await;
        let delivery = next(&*provider).await;
        assert_eq!(delivery.message(), &message);
        assert_eq!((delivery.queue(), delivery.attempt(), delivery.redelivered()), (bench.queue.as_str(), 1, false));
        assert_eq!((delivery.exchange(), delivery.routing_key()), ("", bench.queue.as_str()));
        let counted = provider.capabilities().delivery_count;
        assert_eq!(delivery.delivery_count(), counted.then_some(1));
        settle(&*provider, &delivery, Outcome::Ack).await;
        nothing(&*provider).await;
        bench.end().await;
    }
}

#[tokio::test]
async fn bodies_of_any_size() {
    let bench = Bench::classic("bodies").await;
    let provider = bench.provider(10).await;
    for size in [0, 1, 131_064, 131_065, 1 << 20] {
        let content: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).expect("small")).collect();
        bench.publish(Message::new(content.clone())).await;
        let delivery = next(&*provider).await;
        assert!(delivery.body() == &content, "{size}");
        settle(&*provider, &delivery, Outcome::Ack).await;
    }
    bench.end().await;
}

#[tokio::test]
async fn a_retry_goes_back_to_the_queue_and_is_counted() {
    let bench = Bench::new("retry").await;
    let provider = bench.provider(10).await;
    bench.publish(full(&bench.queue)).await;
    let first = next(&*provider).await;
    settle(&*provider, &first, Outcome::Retry { after: Duration::ZERO, reason: Some("no luck".into()) }).await;
    let second = next(&*provider).await;
    assert_eq!((second.attempt(), second.redelivered(), second.delivery_count()), (2, false, Some(1)));
    let mut expected = full(&bench.queue).properties;
    // The copy is published by whoever runs the provider.
    expected.user_id = None;
    assert_eq!(second.message().properties, expected);
    assert_eq!(second.message().failure().and_then(|f| f.reason).as_deref(), Some("no luck"));
    settle(&*provider, &second, Outcome::Requeue).await;
    let third = next(&*provider).await;
    assert_eq!((third.attempt(), third.redelivered(), third.delivery_count()), (2, true, Some(2)));
    settle(&*provider, &third, Outcome::Ack).await;
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn a_rejected_message_is_parked_and_can_be_redriven() {
    let bench = Bench::new("park").await;
    let provider = bench.provider(10).await;
    bench.publish(full(&bench.queue)).await;
    settle(&*provider, &next(&*provider).await, Outcome::reject("hopeless")).await;
    let stats: QueueStats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert_eq!((stats.ready, stats.parked, stats.providers), (0, Some(1), Some(1)));
    let dead =
        bench.broker.provider(&format!("{}.dead", bench.queue), ProviderOptions::default()).await.expect("there");
    let parked = next(&*dead).await;
    let failure = parked.message().failure().expect("it failed");
    assert_eq!((failure.reason.as_deref(), failure.attempts), (Some("hopeless"), 1));
    assert_eq!(parked.headers().get(names::SOURCE_QUEUE), Some(&Value::from(bench.queue.as_str())));
    let publisher = bench.publisher().await;
    publisher.publish_one(Outgoing::redrive(&parked).expect("it says where from")).await.expect("published");
    ack_all(&*dead, &[parked]).await;
    let again = next(&*provider).await;
    assert_eq!((again.attempt(), again.body()), (1, &full("").body));
    settle(&*provider, &again, Outcome::Ack).await;
    bench.end().await;
}

#[tokio::test]
async fn many_in_order() {
    for bench in [Bench::new("order").await, Bench::classic("order-classic").await] {
        bench.fill(2000).await;
        let provider = bench.provider(100).await;
        let mut expected = 0;
        while expected < 2000 {
            let deliveries = take(&*provider, 40).await;
            for delivery in &deliveries {
                assert_eq!(body(delivery), expected.to_string());
                expected += 1;
            }
            ack_all(&*provider, &deliveries).await;
        }
        assert!(provider.receive(many(1), Duration::ZERO).await.expect("no error").is_empty());
        bench.end().await;
    }
}
