//! Publish, receive, settle.

use crate::common::{NOW, both, declare, one, provider, secs, send, send_all, settle, settle_kind, take, with_queue};
use swarrot_core::message::names;
use swarrot_core::topology::Queue;
use swarrot_core::{Broker, ConnectionState, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing, Settlement};

#[tokio::test(start_paused = true)]
async fn a_message_arrives_as_it_was_sent() {
    for broker in both() {
        declare(&broker, Queue::new("q")).await;
        let message = Message::new("body").id("7").header("h", 1_i64).content_type("text/plain");
        send(&broker, "q", message.clone()).await.expect("publish");
        let provider = provider(&broker, "q").await;
        let delivery = one(&provider).await;
        assert_eq!(*delivery.message(), message);
        assert_eq!((delivery.queue(), delivery.exchange(), delivery.routing_key()), ("q", "", "q"));
        assert_eq!((delivery.attempt(), delivery.redelivered(), delivery.delivery_count()), (1, false, Some(1)));
        settle(&provider, &delivery, Outcome::Ack).await.expect("ack");
        assert_eq!(broker.ledger().acked, 1);
        broker.check().expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_set_where_there_is_none() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b"]).await;
    let got = take(&provider(&broker, "q").await, 2).await;
    assert_eq!(got[0].id().len(), 36);
    assert_ne!(got[0].id(), got[1].id());
}

#[tokio::test(start_paused = true)]
async fn a_second_settlement_is_stale() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let first = one(&provider).await;
    settle(&provider, &first, Outcome::Requeue).await.expect("requeue");
    let second = one(&provider).await;
    // The first delivery's receipt does not settle the second delivery of the same message.
    assert_eq!(settle_kind(&provider, &first, Outcome::Ack).await, ErrorKind::Stale);
    settle(&provider, &second, Outcome::Ack).await.expect("ack");
    assert_eq!(settle_kind(&provider, &second, Outcome::Ack).await, ErrorKind::Stale);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn another_providers_receipt_is_stale() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    let (mine, theirs) = (provider(&broker, "q").await, provider(&broker, "q").await);
    let delivery = one(&mine).await;
    assert_eq!(settle_kind(&theirs, &delivery, Outcome::Ack).await, ErrorKind::Stale);
    // Nor does one that only looks alike settle it.
    let receipt = delivery.receipt();
    for alike in [swarrot_core::Receipt::new(receipt.high(), receipt.low() + 1), receipt.nest(0)] {
        let error = mine.settle(&[Settlement::new(alike, Outcome::Ack)]).await.expect_err("not held");
        assert!(error.is_all(ErrorKind::Stale));
    }
    settle(&mine, &delivery, Outcome::Ack).await.expect("ack");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_named_is_settled() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b", "c"]).await;
    let provider = provider(&broker, "q").await;
    let got = take(&provider, 3).await;
    let stale = swarrot_core::Receipt::new(999, 999);
    let settlements = [got[2].receipt(), stale, got[0].receipt()].map(|r| Settlement::new(r, Outcome::Ack));
    let error = provider.settle(&settlements).await.expect_err("one is stale");
    assert_eq!(error.failures().iter().map(|(r, e)| (*r, e.kind())).collect::<Vec<_>>(), [(stale, ErrorKind::Stale)]);
    provider.close().await.expect("close");
    let left = broker.peek("q", crate::common::max(9)).await.expect("peek");
    assert_eq!(left.iter().map(|m| &m.body[..]).collect::<Vec<_>>(), [b"b"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_a_new_attempt_after_its_delay() {
    for broker in both() {
        declare(&broker, Queue::new("q")).await;
        send_all(&broker, "q", ["a"]).await;
        let provider = provider(&broker, "q").await;
        let first = one(&provider).await;
        let retry = Outcome::Retry { after: secs(3600), reason: Some("smtp: 451".into()) };
        settle(&provider, &first, retry).await.expect("retry");
        assert!(take(&provider, 1).await.is_empty());
        assert_eq!(broker.stats("q").await.expect("stats").delayed, Some(1));
        let start = tokio::time::Instant::now();
        let again = provider.receive(crate::common::max(1), secs(7200)).await.expect("receive").remove(0);
        assert_eq!(start.elapsed(), secs(3600));
        assert_eq!((again.attempt(), again.delivery_count(), again.redelivered()), (2, Some(1), false));
        assert_eq!(again.id(), first.id());
        assert_eq!(again.message().failure().and_then(|f| f.reason).as_deref(), Some("smtp: 451"));
        assert_eq!(settle_kind(&provider, &first, Outcome::Ack).await, ErrorKind::Stale);
        settle(&provider, &again, Outcome::Ack).await.expect("ack");
        broker.check().expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_is_parked_with_its_reason() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    settle(&provider, &one(&provider).await, Outcome::reject("no such user")).await.expect("reject");
    let parked = broker.parked("q").expect("parked");
    let failure = parked[0].failure().expect("it failed");
    assert_eq!((failure.source_queue.as_deref(), failure.attempts), (Some("q"), 1));
    assert_eq!(failure.reason.as_deref(), Some("no such user"));
    assert!(parked[0].headers.contains(names::FIRST_FAILURE));
    assert_eq!(broker.stats("q").await.expect("stats").parked, Some(1));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn after_close_everything_says_so() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b"]).await;
    let provider = provider(&broker, "q").await;
    let publisher = crate::common::publisher(&broker, "").await;
    let delivery = one(&provider).await;
    provider.close().await.expect("close");
    provider.close().await.expect("close again");
    assert_eq!(provider.connection(), ConnectionState::Closed);
    assert_eq!(settle_kind(&provider, &delivery, Outcome::Ack).await, ErrorKind::Closed);
    assert_eq!(provider.receive(crate::common::max(1), NOW).await.expect_err("closed").kind(), ErrorKind::Closed);
    let extended = provider.extend(&[delivery.receipt()]).await.expect_err("closed");
    assert!(extended.is_all(ErrorKind::Closed));
    assert_eq!(
        provider.set_prefetch(const { std::num::NonZeroU16::MIN }).await.expect_err("").kind(),
        ErrorKind::Closed
    );
    publisher.close().await.expect("close");
    publisher.close().await.expect("close again");
    let error = publisher.publish_one(Outgoing::new("q", Message::new(""))).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    // It went back, uncounted, at its place.
    let other = crate::common::provider(&broker, "q").await;
    let got = take(&other, 2).await;
    assert_eq!(crate::common::bodies(&got), ["a", "b"]);
    assert_eq!((got[0].redelivered(), got[0].delivery_count()), (true, Some(1)));
}
