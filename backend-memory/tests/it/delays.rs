//! Delays and leases, on tokio's clock.

use std::time::Duration;

use crate::common::{
    LEASE, LONG, bodies, both, declare, max, one, provider, publisher, secs, send_all, settle, settle_kind, take,
};
use swarrot_core::topology::Queue;
use swarrot_core::{Broker, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing};
use swarrot_memory::{MemoryBroker, Profile};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn delays_are_exact_and_short_ones_pass_long_ones() {
    for broker in both() {
        declare(&broker, Queue::new("q")).await;
        let publisher = publisher(&broker, "").await;
        for (body, delay) in [("hour", 3600), ("minute", 60), ("also a minute", 60), ("none", 0)] {
            let outgoing = Outgoing::new("q", Message::new(body)).delay(secs(delay));
            publisher.publish_one(outgoing).await.expect("publish");
        }
        let (start, provider) = (Instant::now(), provider(&broker, "q").await);
        let mut got = Vec::new();
        while got.len() < 4 {
            for delivery in provider.receive(max(1), secs(7200)).await.expect("receive") {
                got.push((delivery.body().clone(), start.elapsed().as_secs()));
                settle(&provider, &delivery, Outcome::Ack).await.expect("ack");
            }
        }
        let expected = [("none", 0), ("minute", 60), ("also a minute", 60), ("hour", 3600)];
        assert_eq!(got, expected.map(|(body, at)| (body.into(), at)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_joins_behind_what_is_ready() {
    let broker = crate::common::with_queue().await;
    let outgoing = Outgoing::new("q", Message::new("delayed")).delay(secs(5));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    advance(secs(4)).await;
    send_all(&broker, "q", ["before"]).await;
    advance(secs(2)).await;
    send_all(&broker, "q", ["after"]).await;
    assert_eq!(bodies(&take(&provider(&broker, "q").await, 9).await), ["before", "delayed", "after"]);
}

#[tokio::test(start_paused = true)]
async fn huge_durations_are_refused_or_mean_never() {
    let broker = MemoryBroker::with_profile(Profile::Streams { lease: Duration::MAX });
    declare(&broker, Queue::new("q").message_ttl(Duration::MAX)).await;
    let limit = provider(&broker, "q").await.capabilities().max_delay.expect("there are delays");
    let publisher = publisher(&broker, "").await;
    for (delay, kind) in [(limit, None), (limit + Duration::from_nanos(1), Some(ErrorKind::Unsupported))] {
        let outgoing = Outgoing::new("q", Message::new("").ttl(Duration::MAX)).delay(delay);
        assert_eq!(publisher.publish_one(outgoing).await.err().map(|e| e.kind()), kind);
    }
    send_all(&broker, "q", ["now"]).await;
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    assert_eq!(settle_kind(&provider, &held, Outcome::retry(Duration::MAX)).await, ErrorKind::Unsupported);
    provider.extend(&[held.receipt()]).await.expect("a lease without end");
    // It was still held, and a wait without end ends with the year-long delay.
    settle(&provider, &held, Outcome::Ack).await.expect("ack");
    let start = Instant::now();
    assert_eq!(provider.receive(max(1), Duration::MAX).await.expect("receive").len(), 1);
    assert_eq!(start.elapsed(), limit);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_and_another_provider_gets_the_message() {
    let broker = MemoryBroker::with_profile(Profile::Streams { lease: LEASE });
    declare(&broker, Queue::new("q")).await;
    send_all(&broker, "q", ["a"]).await;
    let (slow, other) = (provider(&broker, "q").await, provider(&broker, "q").await);
    let (start, held) = (Instant::now(), one(&slow).await);
    advance(LEASE / 2).await;
    slow.extend(&[held.receipt()]).await.expect("extended");
    let again = other.receive(max(1), LONG).await.expect("receive").remove(0);
    assert_eq!(start.elapsed(), LEASE + LEASE / 2);
    assert_eq!((again.delivery_count(), again.redelivered()), (Some(2), true));
    assert_eq!(settle_kind(&slow, &held, Outcome::Ack).await, ErrorKind::Stale);
    let lost = slow.extend(&[held.receipt()]).await.expect_err("lost");
    assert!(lost.is_all(ErrorKind::Stale));
    settle(&other, &again, Outcome::Ack).await.expect("ack");
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ended_is_lost_even_if_nobody_looked() {
    let broker = MemoryBroker::with_profile(Profile::Streams { lease: LEASE });
    declare(&broker, Queue::new("q")).await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    advance(LEASE).await;
    assert_eq!(settle_kind(&provider, &held, Outcome::Ack).await, ErrorKind::Stale);
    assert_eq!(broker.stats("q").await.expect("stats").ready, 1);
}

#[tokio::test(start_paused = true)]
async fn without_leases_a_delivery_stays_and_extend_does_nothing() {
    let broker = crate::common::with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    advance(secs(1_000_000)).await;
    provider.extend(&[held.receipt()]).await.expect("nothing to do");
    settle(&provider, &held, Outcome::Ack).await.expect("still held");
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_a_millisecond_early() {
    let broker = crate::common::with_queue().await;
    let outgoing = Outgoing::new("q", Message::new("a")).delay(secs(5));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    let provider = provider(&broker, "q").await;
    advance(Duration::from_millis(4999)).await;
    assert!(take(&provider, 1).await.is_empty());
    advance(Duration::from_millis(1)).await;
    settle(&provider, &one(&provider).await, Outcome::retry(secs(5))).await.expect("retry");
    advance(Duration::from_millis(4999)).await;
    assert!(take(&provider, 1).await.is_empty());
    advance(Duration::from_millis(1)).await;
    one(&provider).await;
    // Nor does what is due a millisecond after another.
    for millis in [5000, 5001] {
        let outgoing = Outgoing::new("q", Message::new("b")).delay(Duration::from_millis(millis));
        publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    }
    advance(secs(5)).await;
    assert_eq!(take(&provider, 9).await.len(), 1);
}
