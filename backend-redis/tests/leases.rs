//! Leases, counts of deliveries, and what workers leave behind that die.

mod support;

use std::num::NonZeroUsize;
use std::time::Instant;

use support::{
    body, connect, declare, ms, nothing, one, provider, run, secs, send, server, settle, settle_kind, take, with_queue,
    words,
};
use swarrot_conformance::brokers::Redis;
use swarrot_core::topology::Queue;
use swarrot_core::{Broker as _, DeadLetter, ErrorKind, Outcome};
use swarrot_redis::RedisBroker;

async fn with_lease(server: &Redis, lease: &str) -> RedisBroker {
    connect(&format!("{}?lease={lease}", server.url())).await
}

#[tokio::test]
async fn a_message_that_kills_every_worker_is_parked() {
    let server = server();
    let broker = with_lease(&server, "200ms").await;
    declare(&broker, Queue::new("q").delivery_limit(2)).await;
    send(&broker, "q", "deadly").await.expect("publishes");
    for count in 1..=3 {
        // Each dies without a word: nothing is given back, its lease ends.
        let doomed = with_lease(&server, "200ms").await;
        let provider = provider(&doomed, "q", 1).await;
        let delivery = one(&*provider).await;
        assert_eq!((delivery.delivery_count(), delivery.redelivered()), (Some(count), count > 1));
        std::mem::forget(provider);
        run::<i64>(&server, &words("CLIENT KILL TYPE normal SKIPME yes")).await;
    }
    let survivor = provider(&broker, "q", 1).await;
    let deadline = Instant::now() + secs(20);
    while broker.stats("q").await.expect("stats").parked != Some(1) {
        assert!(Instant::now() < deadline, "{:?}", broker.stats("q").await);
        if let Ok(some) = survivor.receive(NonZeroUsize::MIN, ms(100)).await {
            assert!(some.is_empty(), "a fourth delivery: {some:?}");
        }
    }
    let parked = one(&*provider(&broker, "q.dead", 1).await).await;
    let failure = parked.message().failure().expect("it failed");
    assert!(failure.reason.expect("a reason").contains("3 times"));
    assert_eq!((body(&parked).as_str(), failure.source_queue.as_deref()), ("deadly", Some("q")));
}

#[tokio::test]
async fn requeued_too_often_is_parked_or_dropped() {
    let server = server();
    let broker = with_queue(&server).await;
    declare(&broker, Queue::new("parks").delivery_limit(2)).await;
    declare(&broker, Queue::new("drops").delivery_limit(2).dead_letter(DeadLetter::Drop)).await;
    for (queue, parked) in [("parks", Some(1)), ("drops", None)] {
        send(&broker, queue, "again and again").await.expect("publishes");
        let provider = provider(&broker, queue, 1).await;
        for count in [1, 2, 3] {
            let delivery = one(&*provider).await;
            assert_eq!(delivery.delivery_count(), Some(count));
            settle(&*provider, &delivery, Outcome::Requeue).await.expect("requeues");
        }
        nothing(&*provider).await;
        let stats = broker.stats(queue).await.expect("stats");
        assert_eq!((stats.ready, stats.unsettled, stats.parked), (0, Some(0), parked));
    }
}

#[tokio::test]
async fn each_provider_has_a_lease_of_its_own() {
    let server = server();
    let patient = with_lease(&server, "1h").await;
    declare(&patient, Queue::new("q")).await;
    send(&patient, "q", "slow work").await.expect("publishes");
    let slow = provider(&patient, "q", 1).await;
    let held = one(&*slow).await;
    // One with a short lease does not take what another has for long.
    let hasty = with_lease(&server, "100ms").await;
    let other = provider(&hasty, "q", 1).await;
    for _ in 0..5 {
        nothing(&*other).await;
    }
    settle(&*slow, &held, Outcome::Ack).await.expect("acks");
}

#[tokio::test]
async fn a_long_lease_of_one_does_not_hide_a_short_one_that_ended() {
    let server = server();
    let patient = with_lease(&server, "1h").await;
    declare(&patient, Queue::new("q")).await;
    // It has looked for lost leases, and need not look again for an hour.
    nothing(&*provider(&patient, "q", 1).await).await;
    send(&patient, "q", "left behind").await.expect("publishes");
    let doomed = with_lease(&server, "200ms").await;
    let forgotten = provider(&doomed, "q", 1).await;
    one(&*forgotten).await;
    std::mem::forget(forgotten);
    run::<i64>(&server, &words("CLIENT KILL TYPE normal SKIPME yes")).await;
    let heir = provider(&with_lease(&server, "200ms").await, "q", 1).await;
    assert_eq!(one(&*heir).await.delivery_count(), Some(2));
}

#[tokio::test]
async fn a_lost_lease_comes_back_to_the_same_provider_as_another_delivery() {
    let server = server();
    let broker = with_lease(&server, "200ms").await;
    declare(&broker, Queue::new("q")).await;
    send(&broker, "q", "x").await.expect("publishes");
    let provider = provider(&broker, "q", 1).await;
    let first = one(&*provider).await;
    // With a prefetch of one there is room again only because the lease has ended.
    let second = one(&*provider).await;
    assert_eq!((second.delivery_count(), second.redelivered()), (Some(2), true));
    assert_ne!(first.receipt(), second.receipt());
    assert_eq!(settle_kind(&*provider, &first, Outcome::Ack).await, Some(ErrorKind::Stale));
    assert!(provider.extend(&[first.receipt()]).await.expect_err("lost").is_all(ErrorKind::Stale));
    settle(&*provider, &second, Outcome::Ack).await.expect("acks");
    assert_eq!(broker.stats("q").await.expect("stats").unsettled, Some(0));
}

#[tokio::test]
async fn what_waits_in_a_provider_is_renewed_while_it_is_asked_for() {
    let server = server();
    let broker = with_lease(&server, "600ms").await;
    declare(&broker, Queue::new("q")).await;
    for i in 0..5 {
        send(&broker, "q", &i.to_string()).await.expect("publishes");
    }
    let mine = provider(&broker, "q", 10).await;
    let theirs = provider(&with_lease(&server, "600ms").await, "q", 10).await;
    let start = Instant::now();
    for i in 0..5 {
        // One at a time: the last has waited for longer than a lease.
        let delivery = one(&*mine).await;
        assert_eq!((body(&delivery), delivery.delivery_count()), (i.to_string(), Some(1)));
        for _ in 0..3 {
            tokio::time::sleep(ms(130)).await;
            mine.extend(&[delivery.receipt()]).await.expect("extends");
        }
        settle(&*mine, &delivery, Outcome::Ack).await.expect("acks");
        let some = theirs.receive(NonZeroUsize::MIN, ms(50)).await.expect("receives");
        assert!(some.is_empty(), "{some:?}");
    }
    println!("five deliveries, one after the other, in {:?}", start.elapsed());
}

#[tokio::test]
async fn who_does_not_ask_keeps_nothing_from_others() {
    let server = server();
    let broker = with_lease(&server, "500ms").await;
    declare(&broker, Queue::new("q")).await;
    let idle = provider(&broker, "q", 10).await;
    nothing(&*idle).await;
    for i in 0..5 {
        send(&broker, "q", &i.to_string()).await.expect("publishes");
    }
    // They were fetched for the one that has asked before, and it asks no more.
    let other = provider(&broker, "q", 10).await;
    let taken = take(&*other, 5).await;
    let mut bodies: Vec<_> = taken.iter().map(body).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
    assert!(taken.iter().all(|delivery| delivery.delivery_count() == Some(1)), "given back uncounted: {taken:?}");
    for delivery in &taken {
        settle(&*other, delivery, Outcome::Ack).await.expect("acks");
    }
    // And gets some when it asks again.
    send(&broker, "q", "again").await.expect("publishes");
    other.close().await.expect("closes");
    assert_eq!(body(&one(&*idle).await), "again");
}

#[tokio::test]
async fn names_do_not_pile_up() {
    let server = server();
    let broker = with_queue(&server).await;
    for i in 0..20 {
        send(&broker, "q", &i.to_string()).await.expect("publishes");
        let provider = provider(&broker, "q", 1).await;
        let delivery = one(&*provider).await;
        if i % 2 == 0 {
            settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
        }
        provider.close().await.expect("closes");
    }
    let consumers: Vec<redis::Value> = run(&server, &words("XINFO CONSUMERS swarrot:{q}:stream swarrot")).await;
    assert!(consumers.len() <= 1, "only that to which messages are given back is left: {consumers:?}");
    let wakes: Vec<redis::Value> = run(&server, &words("XINFO CONSUMERS swarrot:{q}:wake swarrot")).await;
    assert!(wakes.is_empty(), "{wakes:?}");
    // What is known of a dead worker goes with the next that begins, but never while it holds something.
    run::<i64>(&server, &words("XGROUP CREATECONSUMER swarrot:{q}:stream swarrot dead~1000")).await;
}

#[tokio::test]
async fn acknowledgements_end_only_what_nobody_has_taken() {
    let server = server();
    let (first, second) = (with_lease(&server, "5s").await, with_lease(&server, "5s").await);
    declare(&first, Queue::new("q")).await;
    let (slow, other) = (provider(&first, "q", 10).await, provider(&second, "q", 10).await);
    let mark = words("HGET swarrot:{q}:queue mark");
    // Read before there is a mark, and after.
    send(&first, "q", "one").await.expect("publishes");
    let early = one(&*slow).await;
    settle(&*slow, &early, Outcome::Ack).await.expect("acked");
    let before: String = run(&server, &mark).await;
    send(&first, "q", "two").await.expect("publishes");
    send(&first, "q", "three").await.expect("publishes");
    let held = take(&*slow, 2).await;
    // The lease of one of them ends: so the server says to whoever asks.
    let pending: Vec<(String, String, i64, i64)> =
        run(&server, &words("XPENDING swarrot:{q}:stream swarrot - + 10")).await;
    let (id, owner, ..) = &pending[0];
    run::<Vec<String>>(
        &server,
        &words(&format!("XCLAIM swarrot:{{q}}:stream swarrot {owner} 0 {id} IDLE 600000 RETRYCOUNT 1 JUSTID")),
    )
    .await;
    run::<i64>(&server, &words("DEL swarrot:{q}:scan")).await;
    let taken = one(&*other).await;
    assert_eq!((body(&taken).as_str(), taken.delivery_count()), ("two", Some(2)));
    assert_ne!(run::<String>(&server, &mark).await, before, "who takes a delivery changes the mark");
    // One was taken, the other was not.
    assert_eq!(settle_kind(&*slow, &held[0], Outcome::Ack).await, Some(ErrorKind::Stale));
    assert_eq!(settle_kind(&*slow, &held[1], Outcome::Ack).await, None);
    assert_eq!(settle_kind(&*other, &taken, Outcome::Ack).await, None);
    assert_eq!(run::<i64>(&server, &words("XLEN swarrot:{q}:stream")).await, 0);
    // Without a mark, and with one that nobody has heard of yet.
    slow.close().await.expect("closed");
    for change in ["HDEL swarrot:{q}:queue mark", "HSET swarrot:{q}:queue mark another"] {
        send(&first, "q", "more").await.expect("publishes");
        let more = one(&*other).await;
        run::<i64>(&server, &words(change)).await;
        assert_eq!(settle_kind(&*other, &more, Outcome::Ack).await, None, "{change}");
        assert_eq!(settle_kind(&*other, &more, Outcome::Ack).await, Some(ErrorKind::Stale), "{change}");
    }
    assert_eq!(run::<i64>(&server, &words("XLEN swarrot:{q}:stream")).await, 0);
}
