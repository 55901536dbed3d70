//! The faults that can be switched on, and the helpers for tests.

use crate::common::{
    LONG, bodies, both, declare, max, one, provider, publisher, secs, send, send_all, settle, settle_kind, take,
    with_queue,
};
use swarrot_core::topology::Queue;
use swarrot_core::{
    Broker, ConnectionState, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing, PublisherOptions,
};
use swarrot_memory::{MemoryBroker, PublishFailure};
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn a_cut_gives_back_what_is_unsettled_and_fails_once() {
    for broker in both() {
        declare(&broker, Queue::new("q")).await;
        send_all(&broker, "q", ["a", "b"]).await;
        let (holding, waiting) = (provider(&broker, "q").await, provider(&broker, "q").await);
        let held = take(&holding, 2).await;
        let (ended, ()) = tokio::join!(waiting.receive(max(1), LONG), async {
            tokio::task::yield_now().await;
            broker.faults().cut();
        });
        let error = ended.expect_err("cut");
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Connection, true));
        assert_eq!(waiting.connection(), ConnectionState::Connected);
        assert_eq!(holding.connection(), ConnectionState::Connecting);
        assert_eq!(settle_kind(&holding, &held[0], Outcome::Ack).await, ErrorKind::Stale);
        let error = holding.receive(max(9), LONG).await.expect_err("once");
        assert_eq!(error.kind(), ErrorKind::Connection);
        let again = take(&holding, 9).await;
        assert_eq!(bodies(&again), ["a", "b"]);
        assert!(again.iter().all(|d| d.redelivered() && d.delivery_count() == Some(2)));
        assert_eq!(settle_kind(&holding, &held[0], Outcome::Ack).await, ErrorKind::Stale);
        settle(&holding, &again[0], Outcome::Ack).await.expect("ack");
        broker.check().expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_holds_publishes_until_it_ends_or_they_time_out() {
    let broker = with_queue().await;
    let options = PublisherOptions::default().timeout(secs(5));
    let publisher = broker.publisher("", options).await.expect("publisher");
    broker.faults().block();
    let start = Instant::now();
    let batch = [Outgoing::new("q", Message::new("a")), Outgoing::new("q", Message::new("b"))];
    for result in publisher.publish(&batch).await {
        assert_eq!(result.expect_err("blocked").kind(), ErrorKind::Blocked);
    }
    assert_eq!(start.elapsed(), secs(5));
    let (results, ()) = tokio::join!(publisher.publish(&batch), async {
        tokio::time::sleep(secs(4)).await;
        broker.faults().unblock();
    });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(broker.stats("q").await.expect("stats").ready, 2);
    // A publish that is dropped while it waits has published nothing; a close ends the wait.
    broker.faults().block();
    tokio::time::timeout(secs(1), publisher.publish(&batch)).await.expect_err("dropped");
    let (results, ()) = tokio::join!(publisher.publish(&batch), async {
        tokio::task::yield_now().await;
        publisher.close().await.expect("close");
    });
    assert_eq!(results.len(), 2);
    assert!(results.into_iter().all(|r| r.is_err_and(|e| e.kind() == ErrorKind::Closed)));
    broker.faults().unblock();
    assert_eq!(broker.stats("q").await.expect("stats").ready, 2);
}

#[tokio::test(start_paused = true)]
async fn publishes_fail_in_the_order_that_was_asked_for() {
    let broker = with_queue().await;
    let faults = broker.faults();
    faults.fail_publishes(1, PublishFailure::Applied);
    faults.fail_publishes(1, PublishFailure::NotApplied);
    faults.reject_publishes(2);
    let batch: Vec<_> = ["a", "b", "c", "d", "e"].map(|b| Outgoing::new("q", Message::new(b))).into();
    let results = publisher(&broker, "").await.publish(&batch).await;
    let kinds: Vec<_> = results.into_iter().map(|r| r.err().map(|e| e.kind())).collect();
    let (unknown, cut, refused) = (ErrorKind::Unknown, ErrorKind::Connection, ErrorKind::Rejected);
    assert_eq!(kinds, [Some(unknown), Some(cut), Some(refused), Some(refused), None]);
    assert_eq!(bodies(&take(&provider(&broker, "q").await, 9).await), ["a", "e"]);
    faults.reject_publishes(5);
    faults.clear();
    send(&broker, "q", Message::new("f")).await.expect("cleared");
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_lost_ack_comes_back_with_the_next_cut_or_close() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b"]).await;
    let provider = crate::common::provider_of(&broker, "q", 1).await;
    broker.faults().lose_acks(1);
    let first = one(&provider).await;
    settle(&provider, &first, Outcome::Ack).await.expect("as far as it knows");
    assert_eq!(settle_kind(&provider, &first, Outcome::Ack).await, ErrorKind::Stale);
    // It does not count against the prefetch.
    let second = one(&provider).await;
    settle(&provider, &second, Outcome::Ack).await.expect("ack");
    assert_eq!((broker.ledger().acked, broker.ledger().unsettled), (1, 1));
    broker.faults().cut();
    provider.receive(max(1), LONG).await.expect_err("cut");
    let again = one(&provider).await;
    assert_eq!((&again.body()[..], again.redelivered(), again.id()), (&b"a"[..], true, first.id()));
    broker.faults().lose_acks(1);
    settle(&provider, &again, Outcome::Ack).await.expect("as far as it knows");
    provider.close().await.expect("close");
    assert_eq!(one(&crate::common::provider(&broker, "q").await).await.delivery_count(), Some(3));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_has_the_same_id_and_is_not_marked() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    broker.faults().duplicate_deliveries(1);
    let provider = provider(&broker, "q").await;
    let (first, second) = (one(&provider).await, one(&provider).await);
    assert_eq!((first.id(), first.redelivered()), (second.id(), second.redelivered()));
    assert!(take(&provider, 1).await.is_empty());
    settle(&provider, &first, Outcome::Ack).await.expect("ack");
    settle(&provider, &second, Outcome::Ack).await.expect("ack");
    assert_eq!((broker.ledger().confirmed, broker.ledger().duplicated, broker.ledger().acked), (1, 1, 2));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn the_last_published_messages_are_kept_where_asked_for() {
    let broker = MemoryBroker::builder().record_published(2).build();
    declare(&broker, Queue::new("q")).await;
    send_all(&broker, "q", ["a", "b"]).await;
    let outgoing = Outgoing::new("q", Message::new("c")).delay(secs(3));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    send(&broker, "nowhere", Message::new("d")).await.expect_err("unroutable");
    let kept = broker.published();
    assert_eq!(kept.iter().map(|p| &p.message.body[..]).collect::<Vec<_>>(), [b"b", b"c"]);
    assert_eq!((kept[1].routing_key.as_str(), kept[1].delay), ("q", Some(secs(3))));
    assert!(kept[1].message.properties.message_id.is_some());
    assert!(with_queue().await.published().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_is_when_nothing_is_ready_delayed_or_unsettled() {
    let broker = with_queue().await;
    broker.wait_until_idle("q").await.expect("idle already");
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let start = Instant::now();
    let (idle, ()) = tokio::join!(broker.wait_until_idle("q"), async {
        let first = one(&provider).await;
        tokio::time::sleep(secs(1)).await;
        settle(&provider, &first, Outcome::retry(secs(60))).await.expect("retry");
        let second = provider.receive(max(1), LONG).await.expect("receive").remove(0);
        tokio::time::sleep(secs(1)).await;
        settle(&provider, &second, Outcome::Ack).await.expect("ack");
    });
    idle.expect("idle");
    assert_eq!(start.elapsed(), secs(62));
    assert_eq!(broker.wait_until_idle("nowhere").await.expect_err("missing").kind(), ErrorKind::NotFound);
    // Expiry makes idle too, with nobody receiving.
    send(&broker, "q", Message::new("b").ttl(secs(9))).await.expect("publish");
    broker.wait_until_idle("q").await.expect("idle");
    assert_eq!(start.elapsed(), secs(71));
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_idle_when_a_cut_parks_its_last_message() {
    let broker = MemoryBroker::new();
    declare(&broker, Queue::new("q").delivery_limit(1)).await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    one(&provider).await;
    broker.faults().cut();
    provider.receive(max(1), LONG).await.expect_err("a cut is told once");
    one(&provider).await;
    let (idle, ()) = tokio::join!(timeout(secs(60), broker.wait_until_idle("q")), async { broker.faults().cut() });
    idle.expect("it is told").expect("idle");
    assert_eq!(broker.stats("q").await.expect("counts").parked, Some(1));
}
