//! Settling: each delivery once, in any order, and never one of another channel.

mod support;

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use support::node::node;
use support::{Bench, ack_all, body, kind, many, next, nothing, secs, settle, take};
use swarrot_core::topology::Queue;
use swarrot_core::{
    Broker, ConnectionState, DeadLetter, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing, ProviderOptions,
    Settlement,
};

#[tokio::test]
async fn acknowledgements_of_many_spare_what_is_put_back_between_them() {
    for bench in [Bench::new("mixed").await, Bench::classic("mixed-classic").await] {
        bench.fill(200).await;
        let provider = bench.provider(200).await;
        let deliveries = take(&*provider, 200).await;
        // In three calls, in mixed order: by the last digit of the body.
        let outcome = |digit: &str| match digit {
            "3" => Outcome::Requeue,
            "5" => Outcome::Release,
            "7" => Outcome::Retry { after: Duration::ZERO, reason: None },
            "9" => Outcome::reject("nine"),
            _ => Outcome::Ack,
        };
        let last = |delivery: &swarrot_core::Delivery| body(delivery).chars().last().expect("a digit").to_string();
        for digits in ["0257", "139", "468"] {
            let some = deliveries.iter().rev().filter(|d| digits.contains(&last(d)));
            let settlements: Vec<_> = some.map(|d| Settlement::new(d.receipt(), outcome(&last(d)))).collect();
            provider.settle(&settlements).await.expect("settled");
        }
        let again = take(&*provider, 60).await;
        let mut bodies: Vec<_> = again.iter().map(body).collect();
        bodies.sort();
        let mut expected: Vec<_> = (0..200).filter(|i| [3, 5, 7].contains(&(i % 10))).map(|i| i.to_string()).collect();
        expected.sort();
        assert_eq!(bodies, expected);
        for delivery in &again {
            assert_eq!(
                (delivery.attempt() == 2, delivery.redelivered()),
                (last(delivery) == "7", last(delivery) != "7")
            );
        }
        ack_all(&*provider, &again).await;
        nothing(&*provider).await;
        provider.close().await.expect("closed");
        let stats = bench.broker.stats(&bench.queue).await.expect("it exists");
        assert_eq!((stats.ready, stats.parked), (0, Some(20)));
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_wait_for_others_are_sent_soon() {
    let node = node().await;
    for kind in [Queue::classic as fn(Queue) -> Queue, |queue| queue] {
        let bench = Bench::at("soon", &node.url(), kind).await;
        bench.fill(2000).await;
        let provider = bench.provider(400).await;
        let mut left = 2000;
        while left > 0 {
            let some = provider.receive(many(20), secs(30)).await.expect("no error");
            ack_all(&*provider, &some).await;
            left -= some.len();
        }
        // Nothing is asked of the provider any more.
        let deadline = Instant::now() + secs(20);
        let count = format!("{}\t0", bench.queue);
        while !node.ctl(&["list_queues", "name", "messages"]).await.contains(&count) {
            assert!(Instant::now() < deadline, "the server waits for acknowledgements");
        }
        provider.close().await.expect("closed");
        bench.end().await;
    }
}

#[tokio::test]
async fn what_is_not_held_is_stale_and_harmless() {
    let bench = Bench::classic("stale").await;
    bench.fill(3).await;
    let provider = bench.provider(2).await;
    let deliveries = take(&*provider, 2).await;
    let twice: Vec<_> = [0, 1, 0].map(|i: usize| Settlement::new(deliveries[i].receipt(), Outcome::Ack)).into();
    let failed = provider.settle(&twice).await.expect_err("one is settled twice");
    assert_eq!((failed.failures().len(), failed.is_all(ErrorKind::Stale)), (1, true));
    assert_eq!(failed.failures()[0].0, deliveries[0].receipt());
    // One that was never handed out, by whatever receipt.
    for receipt in [swarrot_core::Receipt::new(deliveries[0].receipt().high(), 3), swarrot_core::Receipt::new(0, 0)] {
        let failed = provider.settle(&[Settlement::new(receipt, Outcome::Requeue)]).await.expect_err("not held");
        assert!(failed.is_all(ErrorKind::Stale), "{failed:?}");
    }
    settle(&*provider, &next(&*provider).await, Outcome::Ack).await;
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn a_failed_copy_keeps_the_original() {
    let bench = Bench::classic("keeps").await;
    bench.fill(2).await;
    let provider = bench.provider(5).await;
    let deliveries = take(&*provider, 2).await;
    bench.broker.delete(&format!("{}.dead", bench.queue)).await.expect("deleted");
    let settlements = [
        Settlement::new(deliveries[0].receipt(), Outcome::reject("no")),
        Settlement::new(deliveries[1].receipt(), Outcome::Ack),
    ];
    let failed = provider.settle(&settlements).await.expect_err("nowhere to park it");
    assert_eq!(failed.failures().len(), 1);
    let (receipt, error) = &failed.failures()[0];
    assert_eq!((*receipt, error.kind()), (deliveries[0].receipt(), ErrorKind::Unroutable));
    assert!(error.to_string().contains(".dead"), "{error}");
    // Still held: it can be settled otherwise.
    settle(&*provider, &deliveries[0], Outcome::Requeue).await;
    assert_eq!(body(&next(&*provider).await), "0");
    bench.end().await;
}

#[tokio::test]
async fn rejected_messages_can_be_dropped() {
    let bench = Bench::with("drop", |queue| queue.dead_letter(DeadLetter::Drop)).await;
    bench.fill(1).await;
    let options = ProviderOptions::default().dead_letter(DeadLetter::Drop);
    let provider = bench.broker.provider(&bench.queue, options).await.expect("it exists");
    settle(&*provider, &next(&*provider).await, Outcome::reject("no")).await;
    provider.close().await.expect("closed");
    let stats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert_eq!((stats.ready, stats.parked), (0, None));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_settle_neither_doubles_nor_loses() {
    let bench = Bench::classic("dropped-settle").await;
    bench.fill(200).await;
    let provider = bench.provider(200).await;
    let deliveries = take(&*provider, 200).await;
    for (i, delivery) in deliveries.iter().enumerate() {
        let settlement = [Settlement::new(delivery.receipt(), Outcome::retry(Duration::ZERO))];
        // Dropped at each of its steps: before its first poll up to after the copy was confirmed.
        let patience = Duration::from_micros(u64::try_from(i).expect("small") * 20);
        let _ = tokio::time::timeout(patience, provider.settle(&settlement)).await;
    }
    // Whichever was dropped before it began is still held, and settled now; the others are not held any more.
    let mut seen = Vec::new();
    for delivery in &deliveries {
        let settlement = [Settlement::new(delivery.receipt(), Outcome::retry(Duration::ZERO))];
        if let Err(failed) = provider.settle(&settlement).await {
            assert!(failed.is_all(ErrorKind::Stale), "{failed:?}");
        }
    }
    while seen.len() < 200 {
        let copies = take(&*provider, 1).await;
        ack_all(&*provider, &copies).await;
        seen.extend(copies.iter().map(body));
    }
    nothing(&*provider).await;
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
    provider.close().await.expect("closed");
    assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").ready, 0);
    bench.end().await;
}

#[tokio::test]
async fn stopping_gives_back_what_was_not_handed_out() {
    let bench = Bench::new("stop").await;
    bench.fill(10).await;
    let provider = bench.provider(10).await;
    let held = take(&*provider, 2).await;
    let (first, second) = tokio::join!(provider.stop(), provider.stop());
    first.and(second).expect("stopped");
    assert!(provider.receive(many(5), secs(5)).await.expect("no error").is_empty());
    let other = bench.provider(20).await;
    let rest = take(&*other, 8).await;
    assert!(rest.iter().all(|d| d.redelivered() || d.delivery_count() == Some(1)));
    settle(&*provider, &held[0], Outcome::Ack).await;
    provider.close().await.expect("closed");
    let back = take(&*other, 1).await;
    assert_eq!((body(&back[0]), back[0].redelivered()), (body(&held[1]), true));
    assert_eq!(kind(provider.receive(many(1), secs(1)).await), ErrorKind::Closed);
    let failed = provider.settle(&[Settlement::new(held[1].receipt(), Outcome::Ack)]).await.expect_err("closed");
    assert!(failed.is_all(ErrorKind::Closed), "{failed:?}");
    provider.close().await.expect("closed twice");
    assert_eq!(provider.connection(), ConnectionState::Closed);
    bench.end().await;
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_receive() {
    let bench = Bench::classic("idle").await;
    bench.fill(5).await;
    let provider = bench.provider(5).await;
    provider.set_prefetch(NonZeroU16::new(2).expect("not zero")).await.expect("set");
    let stats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert_eq!((stats.ready, stats.providers), (5, Some(0)));
    assert_eq!(take(&*provider, 2).await.len(), 2);
    nothing(&*provider).await;
    assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").ready, 3);
    bench.end().await;
}

#[tokio::test]
async fn a_dropped_provider_gives_all_back() {
    let bench = Bench::new("drop-provider").await;
    bench.fill(10).await;
    let provider = bench.provider(5).await;
    take(&*provider, 2).await;
    drop(provider);
    let other = bench.provider(20).await;
    assert_eq!(take(&*other, 10).await.len(), 10);
    assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").providers, Some(1));
    bench.end().await;
}

#[tokio::test]
async fn the_prefetch_changes_live() {
    for bench in [Bench::new("prefetch").await, Bench::classic("prefetch-classic").await] {
        bench.fill(40).await;
        let provider = bench.provider(2).await;
        let set =
            async |prefetch| provider.set_prefetch(NonZeroU16::new(prefetch).expect("not zero")).await.expect("set");
        let mut held = take(&*provider, 2).await;
        nothing(&*provider).await;
        set(12).await;
        held.extend(take(&*provider, 10).await);
        nothing(&*provider).await;
        set(7).await;
        nothing(&*provider).await;
        // What was received before the changes can still be settled; what is held beyond the limit drains first.
        let rest = held.split_off(5);
        ack_all(&*provider, &held[..]).await;
        nothing(&*provider).await;
        ack_all(&*provider, &rest[..3]).await;
        held.extend(rest);
        let three = take(&*provider, 3).await;
        nothing(&*provider).await;
        ack_all(&*provider, &held[8..]).await;
        ack_all(&*provider, &three).await;
        held.extend(three);
        while held.len() < 40 {
            let more = take(&*provider, 1).await;
            ack_all(&*provider, &more).await;
            held.extend(more);
        }
        let mut bodies: Vec<_> = held.iter().map(body).collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 40, "none twice, none lost");
        provider.close().await.expect("closed");
        assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").ready, 0);
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_receive_loses_nothing() {
    let bench = Bench::classic("cancel").await;
    bench.fill(300).await;
    let provider = bench.provider(20).await;
    let mut seen = Vec::new();
    let mut patience = 0;
    while seen.len() < 300 {
        patience = (patience + 7) % 400;
        let receive = provider.receive(many(3), secs(5));
        if let Ok(deliveries) = tokio::time::timeout(Duration::from_micros(patience), receive).await {
            let deliveries = deliveries.expect("no error");
            ack_all(&*provider, &deliveries).await;
            seen.extend(deliveries.iter().map(body));
        }
    }
    nothing(&*provider).await;
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_callers_share_a_provider() {
    let bench = Bench::classic("callers").await;
    let provider = bench.provider(50).await;
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let deliveries = provider.receive(many(5), secs(2)).await.expect("no error");
                    if deliveries.is_empty() {
                        return seen;
                    }
                    ack_all(&*provider, &deliveries).await;
                    seen.extend(deliveries.iter().map(body));
                }
            })
        })
        .collect();
    bench.fill(2000).await;
    let mut seen = Vec::new();
    for caller in callers {
        seen.extend(caller.await.expect("no panic"));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2000);
    bench.publish(Message::new("one more")).await;
    assert_eq!(body(&next(&*provider).await), "one more");
    bench.end().await;
}

#[tokio::test]
async fn a_retry_works_after_its_delay_queue_was_deleted() {
    // A delay that no other test has.
    const DELAY: Duration = Duration::from_millis(330);
    let bench = Bench::classic("vanished").await;
    bench.fill(1).await;
    let provider = bench.provider(1).await;
    for attempt in 1..=3 {
        let delivery = next(&*provider).await;
        assert_eq!(delivery.attempt(), attempt);
        settle(&*provider, &delivery, Outcome::retry(DELAY)).await;
        if attempt == 1 {
            let back = next(&*provider).await;
            settle(&*provider, &back, Outcome::Requeue).await;
            bench.broker.delete("swarrot.delay.330").await.expect("deleted");
        }
    }
    assert_eq!(next(&*provider).await.attempt(), 4);
    bench.end().await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_while_its_provider_is_paused_is_made_again() {
    let bench = Bench::classic("paused-deleted").await;
    let provider = bench.provider(1).await;
    nothing(&*provider).await;
    provider.pause().await.expect("paused");
    let stranger = support::connect(&support::url()).await.expect("the server answers");
    stranger.delete(&bench.queue).await.expect("deleted");
    let receiving = next(&*provider);
    let publishing = async {
        let publisher = bench.publisher().await;
        while publisher.publish_one(Outgoing::new(&bench.queue, Message::new("after"))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (delivery, ()) = tokio::join!(receiving, publishing);
    assert_eq!(body(&delivery), "after");
    stranger.close().await.expect("closed");
    bench.end().await;
}
