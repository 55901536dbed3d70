//! Exchanges and bindings.

use crate::common::{both, max, provider, publisher, take};
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{Broker, ErrorKind, Message, MessagePublisherExt, Outgoing, PublisherOptions};
use swarrot_memory::MemoryBroker;

async fn count(broker: &MemoryBroker, queue: &str) -> usize {
    broker.peek(queue, max(99)).await.expect("peek").len()
}

async fn publish(broker: &MemoryBroker, exchange: &str, key: &str) -> Option<ErrorKind> {
    let result = publisher(broker, exchange).await.publish_one(Outgoing::new(key, Message::new("b"))).await;
    result.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn each_kind_routes_as_amqp_says() {
    let broker = MemoryBroker::new();
    let topology = Topology::new()
        .exchange(Exchange::direct("d"))
        .exchange(Exchange::topic("t"))
        .exchange(Exchange::fanout("f"))
        .queue(Queue::new("one"))
        .queue(Queue::new("two"))
        .bind("d", "one", "a.*")
        .bind("d", "two", "k")
        .bind("t", "one", "user.*.mail")
        .bind("t", "two", "user.#")
        .bind("f", "one", "ignored")
        .bind("f", "two", "");
    broker.declare(&topology).await.expect("declare");
    for (exchange, key, one, two) in [
        ("d", "a.b", 0, 0),
        ("d", "a.*", 1, 0),
        ("d", "k", 0, 1),
        ("t", "user.7.mail", 1, 1),
        ("t", "user", 0, 1),
        ("t", "other", 0, 0),
        ("f", "whatever", 1, 1),
        ("", "one", 1, 0),
        ("", "three", 0, 0),
    ] {
        broker.purge("one").await.expect("purge");
        broker.purge("two").await.expect("purge");
        let expected = (one + two == 0).then_some(ErrorKind::Unroutable);
        assert_eq!(publish(&broker, exchange, key).await, expected, "{exchange} {key}");
        assert_eq!((count(&broker, "one").await, count(&broker, "two").await), (one, two), "{exchange} {key}");
    }
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_queue_gets_a_message_once_and_copies_share_their_body() {
    for broker in both() {
        let topology = Topology::new()
            .exchange(Exchange::topic("t"))
            .queue(Queue::new("q"))
            .queue(Queue::new("r"))
            .bind("t", "q", "a.*")
            .bind("t", "q", "#")
            .bind("t", "q", "#")
            .bind("t", "r", "a.b");
        broker.declare(&topology).await.expect("declare");
        assert_eq!(publish(&broker, "t", "a.b").await, None);
        let (q, r) = (take(&provider(&broker, "q").await, 9).await, take(&provider(&broker, "r").await, 9).await);
        assert_eq!((q.len(), r.len()), (1, 1));
        assert_eq!(q[0].body().as_ptr(), r[0].body().as_ptr());
        assert_eq!((q[0].exchange(), q[0].routing_key()), ("t", "a.b"));
        assert_eq!(broker.ledger().confirmed, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_among_several_keeps_the_message_out_of_all() {
    let broker = MemoryBroker::new();
    let topology = Topology::new()
        .exchange(Exchange::fanout("f"))
        .queue(Queue::new("small").max_length(1))
        .queue(Queue::new("large"))
        .bind("f", "large", "")
        .bind("f", "small", "");
    broker.declare(&topology).await.expect("declare");
    assert_eq!(publish(&broker, "f", "").await, None);
    assert_eq!(publish(&broker, "f", "").await, Some(ErrorKind::Rejected));
    assert_eq!((count(&broker, "small").await, count(&broker, "large").await), (1, 1));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_missing_exchange_or_queue_is_told_at_once() {
    let broker = MemoryBroker::new();
    let error = broker.publisher("nowhere", PublisherOptions::default()).await.expect_err("missing");
    assert_eq!((error.kind(), error.target()), (ErrorKind::NotFound, Some("nowhere")));
    let error = broker.provider("nowhere", swarrot_core::ProviderOptions::default()).await.expect_err("missing");
    assert_eq!((error.kind(), error.target()), (ErrorKind::NotFound, Some("nowhere")));
    for bad in ["", "a b"] {
        let error = broker.provider(bad, swarrot_core::ProviderOptions::default()).await.expect_err("malformed");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let error = broker.publisher("a b", PublisherOptions::default()).await.expect_err("malformed");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_result_for_each_message() {
    let broker = crate::common::with_queue().await;
    let publisher = publisher(&broker, "").await;
    let results = publisher
        .publish(&[
            Outgoing::new("q", Message::new("a")),
            Outgoing::new("nowhere", Message::new("b")),
            Outgoing::new("q", Message::new("c").header("x-death", 1_i64)),
            Outgoing::new("q", Message::new(vec![0; (16 << 20) + 1])),
            Outgoing::new("k".repeat(256), Message::new("d")),
            Outgoing::new("q", Message::new("e")).delay(std::time::Duration::MAX),
            Outgoing::new("q", Message::new("f")),
        ])
        .await;
    let kinds: Vec<_> = results.into_iter().map(|r| r.err().map(|e| e.kind())).collect();
    let expected = [
        None,
        Some(ErrorKind::Unroutable),
        Some(ErrorKind::InvalidInput),
        Some(ErrorKind::TooLarge),
        Some(ErrorKind::TooLarge),
        Some(ErrorKind::Unsupported),
        None,
    ];
    assert_eq!(kinds, expected);
    let got = take(&provider(&broker, "q").await, 9).await;
    assert_eq!(crate::common::bodies(&got), ["a", "f"]);
}
