//! What may happen to a server, and to what is on it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use redis::aio::MultiplexedConnection;

use support::{
    body, connect, declare, max, ms, nothing, one, plain, provider, publisher, run, secs, send, server, server_with,
    settle, settle_kind, take, with_queue, words,
};
use swarrot_conformance::brokers::Redis;
use swarrot_conformance::proxy::Proxy;
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{Broker as _, ErrorKind, Message, MessagePublisherExt as _, Outcome, Outgoing, PublisherOptions};

#[tokio::test]
async fn after_a_flush_the_queue_comes_back() {
    let server = server();
    let broker = with_queue(&server).await;
    let busy = provider(&broker, "q", 10).await;
    let idle = provider(&broker, "q", 10).await;
    send(&broker, "q", "lost").await.expect("publishes");
    let lost = one(&*busy).await;
    run::<()>(&server, &words("FLUSHALL")).await;
    // The provider notices by itself, and what was declared through its broker is there again.
    let deadline = Instant::now() + secs(10);
    while let Err(error) = send(&broker, "q", "after").await {
        assert_eq!(error.kind(), ErrorKind::Unroutable, "{error:?}");
        assert!(Instant::now() < deadline, "the queue did not come back");
        let _ = busy.receive(max(1), ms(20)).await;
    }
    assert_eq!(settle_kind(&*busy, &lost, Outcome::Ack).await, Some(ErrorKind::Stale));
    assert_eq!(body(&one(&*busy).await), "after");
    busy.close().await.expect("closes");
    assert_eq!(body(&one(&*idle).await), "after");
    broker.close().await.expect("closes");
}

#[tokio::test]
async fn a_lost_stream_is_made_again() {
    let server = server();
    let broker = with_queue(&server).await;
    let provider = provider(&broker, "q", 10).await;
    nothing(&*provider).await;
    run::<i64>(&server, &words("DEL swarrot:{q}:stream swarrot:{q}:wake")).await;
    // Its group is missing, but the message is in the stream.
    send(&broker, "q", "kept").await.expect("publishes");
    let delivery = one(&*provider).await;
    assert_eq!(body(&delivery), "kept");
    settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    let server = server();
    let broker = with_queue(&server).await;
    let provider = provider(&broker, "q", 10).await;
    for body in ["a", "b"] {
        run::<()>(&server, &words("SCRIPT FLUSH SYNC")).await;
        send(&broker, "q", body).await.expect("publishes");
        let delivery = one(&*provider).await;
        run::<()>(&server, &words("SCRIPT FLUSH SYNC")).await;
        settle(&*provider, &delivery, Outcome::Requeue).await.expect("requeues");
        let again = one(&*provider).await;
        settle(&*provider, &again, Outcome::Ack).await.expect("acks");
    }
}

#[tokio::test]
async fn without_memory_work_goes_on_and_publishes_wait() {
    let server = server();
    let broker = with_queue(&server).await;
    let provider = provider(&broker, "q", 10).await;
    send(&broker, "q", "before").await.expect("publishes");
    let delivery = one(&*provider).await;
    run::<()>(&server, &words("CONFIG SET maxmemory 1")).await;
    let hasty = broker.publisher("", PublisherOptions::default().timeout(ms(500))).await.expect("a publisher");
    let refused = hasty.publish_one(Outgoing::new("q", Message::new("x"))).await.expect_err("no memory");
    assert_eq!(refused.kind(), ErrorKind::Blocked, "{refused:?}");
    // A copy needs memory, an end does not; what failed is held as before.
    let retried = settle_kind(&*provider, &delivery, Outcome::retry(secs(1))).await;
    assert_eq!(retried, Some(ErrorKind::Blocked));
    provider.extend(&[delivery.receipt()]).await.expect("extends");
    settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
    let patient = publisher(&broker).await;
    let publish = tokio::spawn(async move { patient.publish_one(Outgoing::new("q", Message::new("patient"))).await });
    tokio::time::sleep(ms(300)).await;
    run::<()>(&server, &words("CONFIG SET maxmemory 0")).await;
    publish.await.expect("no panic").expect("waited it out");
    assert_eq!(body(&one(&*provider).await), "patient");
}

#[tokio::test]
async fn without_memory_workers_connect_again_and_begin() {
    let server = server();
    let topology = Topology::new().queue(Queue::new("q")).exchange(Exchange::fanout("x")).bind("x", "q", "");
    let broker = connect(&server.url()).await;
    broker.declare(&topology).await.expect("declares");
    let reconnects = provider(&broker, "q", 1).await;
    for body in ["first", "second", "third"] {
        send(&broker, "q", body).await.expect("publishes");
    }
    let first = one(&*reconnects).await;
    run::<()>(&server, &words("CONFIG SET maxmemory 1")).await;
    run::<i64>(&server, &words("CLIENT KILL TYPE normal SKIPME yes")).await;
    // All that frees memory goes on: settling, and to take what is next.
    settle(&*reconnects, &first, Outcome::Ack).await.expect("acks");
    let second = one(&*reconnects).await;
    settle(&*reconnects, &second, Outcome::Ack).await.expect("acks");
    let fresh = connect(&server.url()).await;
    fresh.declare(&topology).await.expect("all of it is there");
    let begins = provider(&fresh, "q", 1).await;
    reconnects.close().await.expect("closes");
    assert_eq!(body(&one(&*begins).await), "third");
}

#[tokio::test]
async fn a_purge_ends_while_others_publish() {
    let server = server();
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    let batch = |delay| -> Vec<_> { (0..100).map(|_| Outgoing::new("q", Message::new("x")).delay(delay)).collect() };
    for _ in 0..6 {
        for result in [publisher.publish(&batch(ms(0))).await, publisher.publish(&batch(secs(3600))).await].concat() {
            result.expect("publishes");
        }
    }
    let sent = Arc::new(AtomicU64::new(0));
    let traffic = {
        let (sent, later) = (Arc::clone(&sent), batch(secs(60)));
        tokio::spawn(async move {
            loop {
                for result in publisher.publish(&later[..10]).await {
                    result.expect("publishes");
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    while sent.load(Ordering::SeqCst) < 50 {
        tokio::time::sleep(ms(5)).await;
    }
    // Some batches may be on their way when the purge begins.
    let most = 1200 + sent.load(Ordering::SeqCst) + 200;
    let purged = tokio::time::timeout(secs(20), broker.purge("q")).await.expect("it ends").expect("purges");
    assert!((1250..=most).contains(&purged), "{purged} of at most {most}");
    traffic.abort();
    let _ = traffic.await;
    let left = broker.stats("q").await.expect("stats");
    assert!(left.ready == 0 && left.delayed >= Some(1), "{left:?}");
}

#[tokio::test]
async fn nobody_elses_connection_is_ended() {
    let server = server();
    let mut others = Vec::new();
    while others.len() < 30 {
        others.push(numbered(&server).await);
    }
    let proxy = Proxy::start(server.addr()).await.expect("a proxy");
    let broker = connect(&format!("redis://{}", proxy.addr())).await;
    declare(&broker, Queue::new("q")).await;
    let provider = provider(&broker, "q", 1).await;
    nothing(&*provider).await;
    let list: String = run(&server, &words("CLIENT LIST")).await;
    let reading = list.lines().find(|line| line.contains("cmd=xreadgroup")).expect("it reads");
    let id: i64 = reading.split(' ').next().and_then(|id| id.strip_prefix("id=")?.parse().ok()).expect("an id");
    // The server begins anew to count, and somebody else gets that id.
    proxy.refuse(true).await.expect("refuses");
    server.restart().expect("restarts");
    others.clear();
    let mut other = numbered(&server).await;
    while other.0 < id {
        others.push(std::mem::replace(&mut other, numbered(&server).await));
    }
    assert_eq!(other.0, id);
    proxy.refuse(false).await.expect("lets pass");
    send(&broker, "q", "again").await.expect("publishes");
    assert_eq!(body(&one(&*provider).await), "again");
    redis::cmd("PING").exec_async(&mut other.1).await.expect("it was left alone");
}

/// A connection, and the id that the server gave it.
async fn numbered(server: &Redis) -> (i64, MultiplexedConnection) {
    let mut connection = plain(server).await;
    let id = words("CLIENT ID").query_async(&mut connection).await.expect("an id");
    (id, connection)
}

#[test]
fn a_provider_outlives_the_runtime_that_it_read_on() {
    let server = server();
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    let (broker, provider) = first.block_on(async {
        let broker = with_queue(&server).await;
        let provider = provider(&broker, "q", 1).await;
        nothing(&*provider).await;
        (broker, provider)
    });
    drop(first);
    second.block_on(async {
        send(&with_queue(&server).await, "q", "on another").await.expect("publishes");
        assert_eq!(body(&one(&*provider).await), "on another");
        broker.close().await.expect("closes");
    });
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_is_there_once() {
    let server = server();
    let broker = with_queue(&server).await;
    let proxy = Proxy::start(server.addr()).await.expect("a proxy");
    let through = connect(&format!("redis://{}", proxy.addr())).await;
    let publisher = publisher(&through).await;
    publisher.publish_one(Outgoing::new("q", Message::new("first"))).await.expect("publishes");
    for i in 0..20_u64 {
        // Breaks somewhere in the answers: before the verdict, in it, behind it.
        proxy.cut_after(swarrot_conformance::proxy::Direction::ToClient, i / 2);
        let batch = (0..10).map(|j| Outgoing::new("q", Message::new(format!("{i}-{j}"))));
        let results = publisher.publish(&batch.collect::<Vec<_>>()).await;
        for result in results {
            result.expect("waits out the cut");
        }
    }
    let provider = provider(&broker, "q", 300).await;
    let mut bodies: Vec<String> = take(&*provider, 201).await.iter().map(body).collect();
    nothing(&*provider).await;
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 201, "each once");
    assert!(proxy.counters().cuts >= 10, "{:?}", proxy.counters());
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_counts() {
    let server = server();
    let broker = with_queue(&server).await;
    let proxy = Arc::new(Proxy::start(server.addr()).await.expect("a proxy"));
    let through = connect(&format!("redis://{}", proxy.addr())).await;
    let provider = provider(&through, "q", 10).await;
    let outcomes = [
        Outcome::Ack,
        Outcome::Requeue,
        Outcome::retry(secs(3600)),
        Outcome::reject("no"),
        Outcome::Ack,
        Outcome::retry(secs(3600)),
    ];
    for (i, outcome) in outcomes.into_iter().enumerate() {
        send(&broker, "q", &i.to_string()).await.expect("publishes");
        let delivery = one(&*provider).await;
        // The cut before this one may have come from another connection's bytes: then the one to settle over is dead, and this
        // finds out. It is to break once for each settlement, not twice.
        through.stats("q").await.expect("stats");
        proxy.cut_after(swarrot_conformance::proxy::Direction::ToClient, 0);
        let settled = settle(&*provider, &delivery, outcome.clone()).await;
        proxy.disarm(swarrot_conformance::proxy::Direction::ToClient);
        settled.unwrap_or_else(|error| panic!("{outcome:?}: {error:?}"));
        if outcome == Outcome::Requeue {
            settle(&*provider, &one(&*provider).await, Outcome::Ack).await.expect("acks");
        }
    }
    // Its connections broke, too.
    while let Err(error) = provider.receive(max(1), ms(300)).await {
        assert!(error.is_temporary(), "{error:?}");
    }
    let stats = broker.stats("q").await.expect("stats");
    assert_eq!((stats.ready, stats.unsettled, stats.delayed, stats.parked), (0, Some(0), Some(2), Some(1)));
    assert_eq!(proxy.counters().cuts, 6);
}

#[tokio::test]
async fn what_was_read_and_never_arrived_is_adopted() {
    let server = server();
    let broker = with_queue(&server).await;
    let proxy = Proxy::start(server.addr()).await.expect("a proxy");
    let through = connect(&format!("redis://{}?lease=1h", proxy.addr())).await;
    let provider = provider(&through, "q", 10).await;
    nothing(&*provider).await;
    for i in 0..10_u64 {
        // The server has given it to this provider; the answer breaks off.
        proxy.cut_after(swarrot_conformance::proxy::Direction::ToClient, i * 3);
        send(&broker, "q", &i.to_string()).await.expect("publishes");
        let delivery = one(&*provider).await;
        assert_eq!((body(&delivery), delivery.delivery_count()), (i.to_string(), Some(1)));
        settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
    }
    assert!(proxy.counters().cuts >= 8, "{:?}", proxy.counters());
}

#[tokio::test]
async fn a_dead_server_is_asked_seldom() {
    let server = server();
    let broker = with_queue(&server).await;
    let proxy = Proxy::start(server.addr()).await.expect("a proxy");
    let through = connect(&format!("redis://{}", proxy.addr())).await;
    let provider = provider(&through, "q", 10).await;
    nothing(&*provider).await;
    let publisher = publisher(&through).await;
    // Connections are taken and broken at once, which is what a proxy does before a dead server.
    server.kill().expect("kills");
    let before = proxy.counters().connections;
    let publishing = tokio::spawn(async move {
        let batch: Vec<_> = (0..100).map(|i| Outgoing::new("q", Message::new(i.to_string()))).collect();
        publisher.publish(&batch).await
    });
    let start = Instant::now();
    let mut errors = 0;
    while start.elapsed() < secs(8) {
        errors += usize::from(provider.receive(max(1), secs(1)).await.is_err());
    }
    let tries = proxy.counters().connections - before;
    println!("tries to connect in 8 s: {tries}, by a provider and a publisher; errors told: {errors}");
    assert!((2..=40).contains(&tries) && errors > 0, "{tries} tries, {errors} errors told");
    server.restart().expect("restarts");
    for result in publishing.await.expect("no panic") {
        result.expect("waited it out");
    }
    assert_eq!(take(&*provider, 10).await.len(), 10);
    drop(broker);
}

#[tokio::test]
async fn no_credential_is_shown() {
    let server = server();
    run::<()>(&server, &words("CONFIG SET requirepass hunter2")).await;
    let wrong = format!("redis://:hunter3@{}", server.addr());
    let error = swarrot_redis::RedisBroker::connect(&wrong.parse().expect("a URL")).await.expect_err("wrong");
    assert_eq!(error.kind(), ErrorKind::AccessRefused, "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
    let none = format!("redis://{}", server.addr());
    let error = swarrot_redis::RedisBroker::connect(&none.parse().expect("a URL")).await.expect_err("none");
    assert_eq!(error.kind(), ErrorKind::AccessRefused, "{error:?}");
    let broker = connect(&format!("redis://default:hunter2@{}", server.addr())).await;
    declare(&broker, Queue::new("q")).await;
    let provider = provider(&broker, "q", 1).await;
    nothing(&*provider).await;
    assert!(!format!("{broker:?} {provider:?}").contains("hunter2"));
}

#[tokio::test]
async fn warnings_say_what_to_mend() {
    let server = server_with(&["appendonly no", "maxmemory-policy allkeys-lru"]);
    let broker = connect(&server.url()).await;
    let info = broker.describe().await.expect("describes");
    assert!(info.warnings.iter().any(|w| w.contains("appendonly")), "{info:?}");
    assert!(info.warnings.iter().any(|w| w.contains("allkeys-lru")), "{info:?}");
    assert_eq!((info.product.as_str(), info.capabilities[0].1.durable), ("Redis", false));
}

#[tokio::test]
async fn a_passive_topology_creates_nothing() {
    let server = server();
    let passive = connect(&format!("{}?topology=passive", server.url())).await;
    let topology = Topology::new().queue(Queue::new("q"));
    assert_eq!(passive.declare(&topology).await.expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(run::<i64>(&server, &words("DBSIZE")).await, 0);
    with_queue(&server).await;
    passive.declare(&topology).await.expect("is there");
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_put_right() {
    let server = server_with(&["appendonly no"]);
    let broker = with_queue(&server).await;
    let idle = provider(&broker, "q", 10).await;
    send(&broker, "q", "lost").await.expect("publishes");
    server.restart().expect("restarts");
    // Its first look at the queue is after the loss.
    nothing_yet(&*idle).await;
    send(&broker, "q", "after").await.expect("publishes");
    assert_eq!(body(&one(&*idle).await), "after");
    idle.close().await.expect("closes");
    broker.close().await.expect("closes");
}

#[tokio::test]
async fn what_was_declared_is_there_for_the_first_publish() {
    let server = server_with(&["appendonly no"]);
    let broker = with_queue(&server).await;
    server.restart().expect("restarts");
    send(&broker, "q", "first").await.expect("publishes");
    assert_eq!(body(&one(&*provider(&broker, "q", 1).await).await), "first");
}

/// Nothing comes, whatever errors do.
async fn nothing_yet(provider: &dyn swarrot_core::MessageProvider) {
    for _ in 0..5 {
        match provider.receive(max(1), ms(100)).await {
            Ok(some) => assert!(some.is_empty(), "{some:?}"),
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
    }
}

/// What a user needs, as the documentation of the crate says it.
const RIGHTS: &str = "~swarrot:* -@all +@stream +@hash +@sortedset +@set +@connection +@scripting \
    +get +incr +set +exists +pexpire +pttl +unlink +time +info +role";

#[tokio::test]
async fn a_user_with_few_rights_can_work() {
    let server = server();
    run::<()>(&server, &words(&format!("ACL SETUSER worker on >pw {RIGHTS}"))).await;
    let url = format!("redis://worker:pw@{}", server.addr());
    let broker = connect(&url).await;
    let exchange = Exchange::fanout("x");
    broker
        .declare(&Topology::new().queue(Queue::new("q")).exchange(exchange).bind("x", "q", ""))
        .await
        .expect("declares");
    let provider = provider(&broker, "q", 10).await;
    let publisher = broker.publisher("x", PublisherOptions::default()).await.expect("a publisher");
    for outcome in [Outcome::Requeue, Outcome::retry(ms(20)), Outcome::Release, Outcome::reject("no"), Outcome::Ack] {
        publisher.publish_one(Outgoing::new("", Message::new("x"))).await.expect("publishes");
        let delivery = one(&*provider).await;
        provider.extend(&[delivery.receipt()]).await.expect("extends");
        settle(&*provider, &delivery, outcome).await.expect("settles");
    }
    for delivery in take(&*provider, 3).await {
        settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
    }
    let stats = broker.stats("q").await.expect("stats");
    assert_eq!((stats.ready, stats.unsettled, stats.parked), (0, Some(0), Some(1)));
    broker.peek("q", max(1)).await.expect("looks");
    broker.purge("q").await.expect("purges");
    let refused = broker.queues().await.expect_err("that takes one more");
    assert_eq!(refused.kind(), ErrorKind::AccessRefused, "{refused:?}");
    run::<()>(&server, &words("ACL SETUSER worker +scan")).await;
    assert_eq!(broker.queues().await.expect("lists"), ["q", "q.dead"]);
    provider.close().await.expect("closes");
    broker.delete("q").await.expect("deletes");
    // What it may not do is said as such.
    run::<()>(&server, &words("ACL SETUSER worker -xadd")).await;
    declare(&broker, Queue::new("q")).await;
    let refused = send(&broker, "q", "x").await.expect_err("it may not");
    assert_eq!(refused.kind(), ErrorKind::AccessRefused, "{refused:?}");
}
