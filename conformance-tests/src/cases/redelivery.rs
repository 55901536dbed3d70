//! What comes back, how often, and what it looks like then.

use std::time::Duration;

use swarrot_core::message::names;
use swarrot_core::topology::Topology;
use swarrot_core::{Message, Outcome, Outgoing, Value};
use tokio::time::Instant;

use crate::run::{
    Case, Claim::DeadLetter, Claim::Delay, Claim::DeliveryCount, Claim::Lease, Claim::LengthLimit, Context,
    Need::Claimed, Setup, case,
};
use crate::support::{PATIENCE, ProviderActions as _, PublisherActions as _, bodies, ms};

const GROUP: &str = "redelivery";

pub(super) const CASES: &[Case] = &[
    case!(requeue_comes_back),
    case!(redelivered_flag_set),
    case!(count_1_2_3).needs(&[Claimed(DeliveryCount)]),
    case!(attempt_survives_delayed_retry).needs(&[Claimed(Delay)]),
    case!(crash_redelivers).dup().limit(120),
    case!(lease_expiry).needs(&[Claimed(Lease)]).limit(200),
    case!(below_lease_hidden).needs(&[Claimed(Lease)]).limit(200),
    case!(extend_keeps_lease).needs(&[Claimed(Lease)]).limit(200),
    case!(content_unchanged),
    case!(requeue_10_percent),
    // Beyond the list: what becomes of what was never attempted, and of a provider that only stops.
    case!(release_is_not_an_attempt),
    case!(stop_keeps_what_was_handed_out),
    case!(delivery_limit_counts_what_came_back).needs(&[Claimed(DeliveryCount), Claimed(DeadLetter)]),
    case!(a_retry_fits_into_a_full_queue).needs(&[Claimed(LengthLimit)]).limit(120),
];

async fn requeue_comes_back(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 3)).await;
    let ledger = cx.ledger();
    for delivery in provider.take(3).await {
        provider.settle_one(&delivery, Outcome::Requeue).await;
        ledger.note_sent(delivery.body().clone());
    }
    ledger.received_all(&provider.take_acked(3).await);
    provider.nothing().await;
    ledger.check();

    // Another provider may get it just as well.
    publisher.send_body(&queue, "for another").await;
    let delivery = provider.one().await;
    provider.stop().await.expect("stops");
    provider.settle_one(&delivery, Outcome::Requeue).await;
    let other = cx.provider(&*broker, &queue).await;
    assert_eq!(other.one_acked().await.body(), "for another");
}

async fn redelivered_flag_set(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "again").await;
    let first = provider.one().await;
    assert!(!first.redelivered(), "the first delivery is marked as redelivered");
    provider.settle_one(&first, Outcome::Requeue).await;
    let second = provider.one().await;
    assert!(second.redelivered(), "after a requeue the delivery is not marked as redelivered");
    assert_eq!(second.attempt(), 1, "a requeue is no retry: the message's own count stays");
    provider.close().await.expect("closes");
    let third = cx.provider(&*broker, &queue).await.one_acked().await;
    assert!(third.redelivered(), "after its provider closed the delivery is not marked as redelivered");
}

async fn count_1_2_3(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_body(&queue, "counted").await;
    for expected in 1..=3 {
        let delivery = provider.one().await;
        assert_eq!(delivery.delivery_count(), Some(expected), "after {} requeues", expected - 1);
        provider.settle_one(&delivery, Outcome::Requeue).await;
    }
    provider.one_acked().await;
}

async fn attempt_survives_delayed_retry(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let sent = Message::new("try me").id("the-id").message_type("mail").header("own", 5_i64);
    publisher.send(Outgoing::new(&queue, sent.clone())).await;
    for attempt in 1..=3_u32 {
        let delivery = provider.one().await;
        assert_eq!(delivery.attempt(), attempt);
        assert_eq!(delivery.message().retry_attempts(), attempt - 1);
        // Our own marks aside it is the message that was published.
        let mut message = delivery.message().clone();
        message.headers.retain(|name, _| !name.starts_with(names::PREFIX));
        assert_eq!(message, sent, "on attempt {attempt}");
        assert_eq!((delivery.exchange(), delivery.routing_key()), ("", queue.as_str()));
        if attempt == 3 {
            let failure = delivery.message().failure().expect("it failed before");
            assert_eq!(failure.reason.as_deref(), Some("busy 2"));
            assert!(failure.first_at <= failure.last_at && failure.first_at.is_some(), "{failure:?}");
            provider.ack(&delivery).await;
            break;
        }
        let reason = Some(format!("busy {attempt}").into());
        provider.settle_one(&delivery, Outcome::Retry { after: ms(200), reason }).await;
    }
    provider.nothing().await;
}

async fn crash_redelivers(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    let ledger = cx.ledger();
    ledger.publish(&*cx.publisher(&*broker, "").await, &queue, bodies("m", 10)).await;
    {
        let doomed = cx.connect_to_crash().await;
        let provider = cx.provider_holding(&*doomed, &queue, 5).await;
        provider.take(5).await;
        // Dropped with nothing settled and nothing closed, as when a task that owned them was aborted.
    }
    let heir = cx.provider(&*broker, &queue).await;
    let patience = PATIENCE + cx.capabilities().lease.unwrap_or_default();
    let deadline = Instant::now() + patience;
    while ledger.outstanding() > 0 {
        assert!(Instant::now() < deadline, "{patience:?} after a provider crashed: {}", ledger.counts());
        let some = heir.up_to(10, ms(500)).await.expect("receives");
        ledger.received_all(&some);
        heir.ack_all(&some).await;
    }
    ledger.check();
}

/// The lease of the harness's kind of queue.
fn lease(cx: &Context) -> Duration {
    cx.capabilities().lease.expect("the case needs a lease")
}

async fn lease_expiry(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "leased").await;
    let slow = provider.one().await;
    let held = Instant::now();
    let other = cx.provider(&*broker, &queue).await;
    let deadline = held + lease(cx) * 2 + PATIENCE;
    let again = loop {
        assert!(Instant::now() < deadline, "a lease of {:?} did not end within {:?}", lease(cx), held.elapsed());
        if let Some(delivery) = other.up_to(1, lease(cx)).await.expect("receives").pop() {
            break delivery;
        }
    };
    assert!(held.elapsed() + ms(50) >= lease(cx), "a lease of {:?} ended after {:?}", lease(cx), held.elapsed());
    assert!(again.redelivered(), "another provider got it, and it is not marked as redelivered");
    // Whoever lost the lease can no longer settle: the work is another's now.
    let error = provider.try_settle(&slow, Outcome::Ack).await.expect_err("the lease is lost");
    assert!(error.is_all(swarrot_core::ErrorKind::Stale), "{error:?}");
    let error = provider.extend(&[slow.receipt()]).await.expect_err("a lost lease cannot be extended");
    assert!(error.is_all(swarrot_core::ErrorKind::Stale), "{error:?}");
    other.ack(&again).await;
    other.nothing().await;
}

async fn below_lease_hidden(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "leased").await;
    let held = provider.one().await;
    let since = Instant::now();
    let other = cx.provider(&*broker, &queue).await;
    let hidden = lease(cx) / 2;
    let seen = other.up_to(1, hidden).await.expect("receives");
    // On a busy machine more than the lease may have passed.
    assert!(seen.is_empty() || since.elapsed() >= lease(cx), "another provider got it after {:?}", since.elapsed());
    if seen.is_empty() {
        provider.ack(&held).await;
        other.nothing().await;
    }
}

async fn extend_keeps_lease(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "slow work").await;
    let held = provider.one().await;
    let other = cx.provider(&*broker, &queue).await;
    // Twice the lease, extended each third of it.
    for third in 1..=6 {
        let seen = other.up_to(1, lease(cx) / 3).await.expect("receives");
        assert!(seen.is_empty(), "another provider got it after {third} thirds of the lease, though it was extended");
        provider.extend(&[held.receipt()]).await.unwrap_or_else(|e| panic!("cannot extend: {e:?}"));
    }
    provider.ack(&held).await;
    other.nothing().await;
}

async fn content_unchanged(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let sent = Message::new("original").id("i").header("kept", "as it was");
    publisher.send(Outgoing::new(&queue, sent.clone())).await;
    let mut delivery = provider.one().await;
    // What a handler does with its own copy is its own affair.
    let mut edited = delivery.message().clone();
    edited.headers.insert("kept", Value::Null);
    edited.headers.insert("added", true);
    edited.body = "edited".into();
    delivery.insert_extension("an extension");
    provider.settle_one(&delivery, Outcome::Requeue).await;
    let again = provider.one().await;
    assert_eq!(again.message(), &sent);
    assert_eq!(again.extension::<&str>(), None, "what a layer added is not part of the message");
    provider.settle_one(&again, Outcome::retry(Duration::ZERO)).await;
    let retried = provider.one_acked().await;
    assert_eq!((retried.body(), retried.id()), (&sent.body, "i"));
    assert_eq!(retried.headers().get("kept"), sent.headers.get("kept"));
    assert!(!retried.headers().contains("added"));
}

async fn requeue_10_percent(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("m", 1000)).await;
    let (mut requeued, mut acked) = (0, 0);
    let mut seen = std::collections::HashMap::<Vec<u8>, usize>::new();
    while acked < 1000 {
        let some = provider.up_to(50, PATIENCE).await.expect("receives");
        assert!(!some.is_empty(), "{acked} of 1000 were acked, and no more came for {PATIENCE:?}");
        for delivery in some {
            let times = seen.entry(delivery.body().to_vec()).or_default();
            *times += 1;
            assert!(*times <= 2, "a message came {times} times: {delivery:?}");
            let tenth = delivery.body().ends_with(b"7");
            if tenth && *times == 1 {
                provider.settle_one(&delivery, Outcome::Requeue).await;
                requeued += 1;
            } else {
                assert!(tenth || *times == 1, "nobody requeued this, and it came again: {delivery:?}");
                provider.ack(&delivery).await;
                ledger.received(&delivery);
                acked += 1;
            }
        }
    }
    provider.nothing().await;
    assert_eq!((requeued, ledger.check().received), (100, 1000));
}

async fn release_is_not_an_attempt(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_body(&queue, "not now").await;
    for _ in 0..3 {
        let delivery = provider.one().await;
        assert_eq!(delivery.attempt(), 1, "a release counted as an attempt");
        provider.settle_one(&delivery, Outcome::Release).await;
    }
    provider.one_acked().await;
    provider.nothing().await;
}

async fn stop_keeps_what_was_handed_out(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("m", 10)).await;
    let mut held = provider.take(2).await;
    provider.stop().await.expect("stops");
    provider.stop().await.expect("stopping twice is no error");
    // What was fetched in advance is free for others at once, while this provider is still open.
    let other = cx.provider(&*broker, &queue).await;
    ledger.received_all(&other.take_acked(8).await);
    assert!(provider.up_to(5, ms(100)).await.expect("a stopped provider has nothing").is_empty());
    other.nothing().await;
    // What was handed out may still be settled, either way.
    provider.ack(&held[0]).await;
    provider.settle_one(&held[1], Outcome::Requeue).await;
    ledger.received(&held.remove(0));
    ledger.received_all(&other.take_acked(1).await);
    provider.close().await.expect("closes");
    other.nothing().await;
    ledger.check();
}

async fn delivery_limit_counts_what_came_back(cx: &Context) {
    let broker = cx.connect().await;
    let limited = cx.queue_to_declare("limited").delivery_limit(2);
    let queue = limited.name.clone();
    cx.declare(&*broker, &Topology::new().queue(limited)).await;
    cx.publisher(&*broker, "").await.send_body(&queue, "again and again").await;
    let provider = cx.provider(&*broker, &queue).await;
    // The first delivery, and two that came back; it may not come back a third time.
    for expected in 1..=3 {
        let delivery = provider.one().await;
        assert_eq!(delivery.delivery_count(), Some(expected));
        provider.settle_one(&delivery, Outcome::Requeue).await;
    }
    let parked = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await.one_acked().await;
    assert_eq!(parked.body(), "again and again");
    provider.nothing().await;
}

async fn a_retry_fits_into_a_full_queue(cx: &Context) {
    let broker = cx.connect().await;
    let (queue, publisher) = cx.small_queue(&*broker).await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, ["to be retried"]).await;
    let provider = cx.provider_holding(&*broker, &queue, 1).await;
    let delivery = provider.one().await;
    let mut taken = 1;
    while ledger.try_publish(&*publisher, &queue, [format!("m-{taken}")]).await.remove(0).is_ok() {
        taken += 1;
        assert!(taken < 20, "a queue for 3 messages took {taken}");
    }
    // Refused, it would keep its place in a worker for as long as others fill the queue.
    provider.settle_one(&delivery, Outcome::retry(Duration::ZERO)).await;
    ledger.received_all(&provider.take_acked(taken).await);
    provider.nothing().await;
    ledger.check();
}
