//! Publishing: confirmed, routed, refused, too large, too late.

mod support;

use std::time::Duration;

use lapin::options::BasicGetOptions;
use lapin::types::ShortString;
use lapin::{Connection, ConnectionProperties};
use support::{Bench, ack_all, body, connect, kind, lapin_url, many, next, nothing, secs, take, unique, url};
use swarrot_core::topology::{Exchange, Topology};
use swarrot_core::{Broker, ErrorKind, Limits, Message, MessagePublisherExt, Outgoing, PublisherOptions, QueueStats};
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn unroutable_messages_among_many_are_told_apart() {
    told_apart(Bench::classic("unroutable").await, || Message::new("x".repeat(50))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unroutable_messages_of_the_same_id_are_told_apart() {
    // Some of many at once have it for themselves, the others share it.
    let message = || Message::new("x".repeat(50)).id(["one", "two"][fastrand::usize(..2)]);
    told_apart(Bench::classic("unroutable-same-id").await, message).await;
}

async fn told_apart(bench: Bench, message: impl Fn() -> Message + Copy + Send + 'static) {
    const COUNT: usize = 20_000;
    let missing = unique("missing");
    let publisher = bench.publisher().await;
    let callers = (0..8).map(|caller| {
        let (publisher, queue, missing) = (publisher.clone(), bench.queue.clone(), missing.clone());
        tokio::spawn(async move {
            let (mut delivered, mut wrong) = (0, 0);
            for start in (0..COUNT / 8).step_by(100) {
                let routable = |i: usize| (start + i * 7 + caller).is_multiple_of(2);
                let batch: Vec<_> =
                    (0..100).map(|i| Outgoing::new(if routable(i) { &queue } else { &missing }, message())).collect();
                for (i, result) in publisher.publish(&batch).await.into_iter().enumerate() {
                    match result {
                        Ok(()) if routable(i) => delivered += 1,
                        Err(error) if error.kind() == ErrorKind::Unroutable && !routable(i) => {}
                        other => {
                            wrong += 1;
                            eprintln!("routable: {}, {other:?}", routable(i));
                        }
                    }
                }
            }
            (delivered, wrong)
        })
    });
    let (mut delivered, mut wrong) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let counts = caller.await.expect("no panic");
        delivered += counts.0;
        wrong += counts.1;
    }
    assert_eq!((delivered, wrong), (COUNT as u64 / 2, 0));
    let stats: QueueStats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert_eq!(stats.ready, delivered);
    bench.end().await;
}

#[tokio::test]
async fn exchanges_route() {
    let bench = Bench::new("topic").await;
    let exchange = unique("exchange");
    let topology = Topology::new().exchange(Exchange::topic(&exchange)).bind(&exchange, &bench.queue, "user.*.mail");
    bench.broker.declare(&topology).await.expect("declared");
    let publisher = bench.broker.publisher(&exchange, PublisherOptions::default()).await.expect("it exists");
    publisher.publish_one(Outgoing::new("user.7.mail", Message::new("yes"))).await.expect("routed");
    assert_eq!(kind(publisher.publish_one(Outgoing::new("user.7", Message::new("no"))).await), ErrorKind::Unroutable);
    let delayed = Outgoing::new("user.8.mail", Message::new("later")).delay(Duration::from_millis(300));
    publisher.publish_one(delayed).await.expect("taken");
    let provider = bench.provider(5).await;
    for (key, body) in [("user.7.mail", "yes"), ("user.8.mail", "later")] {
        let delivery = next(&*provider).await;
        assert_eq!((delivery.exchange(), delivery.routing_key()), (exchange.as_str(), key));
        assert_eq!(delivery.body(), body);
        ack_all(&*provider, &[delivery]).await;
    }
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn what_is_delayed_brings_its_time_with_it() {
    // A delay that no other test has: this one looks into the queue where it waits.
    const MINUTES_78: Duration = Duration::from_secs(78 * 60);
    const WAITS_IN: &str = "swarrot.delay.4700000";
    let bench = Bench::new("time").await;
    let connection = Connection::connect(&lapin_url(), ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    let delayed = Outgoing::new(&bench.queue, Message::new("later")).delay(MINUTES_78);
    bench.publisher().await.publish_one(delayed).await.expect("taken");
    // Whoever began to use this delay may not have been the one who made the queue: it may not have read its time yet.
    let waiting = timeout(secs(20), async {
        loop {
            match channel.basic_get(WAITS_IN.into(), BasicGetOptions { no_ack: true }).await.expect("an answer") {
                Some(waiting) => break waiting.delivery,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let waiting = waiting.await.expect("it is there");
    assert_eq!(waiting.properties.expiration().as_ref().map(ShortString::as_str), Some("4700000"));
    // Where it arrives it has none.
    let soon = Outgoing::new(&bench.queue, Message::new("soon")).delay(Duration::from_millis(100));
    bench.publisher().await.publish_one(soon).await.expect("taken");
    let provider = bench.provider(1).await;
    let delivery = next(&*provider).await;
    assert_eq!((delivery.message().properties.ttl, body(&delivery)), (None, "soon".to_owned()));
    ack_all(&*provider, &[delivery]).await;
    connection.close(200, "".into()).await.expect("closed");
    bench.end().await;
}

#[tokio::test]
async fn a_delay_queue_that_is_too_new_promises_nothing() {
    // A delay that no other test has: this one makes the queue.
    const MINUTES_95: Duration = Duration::from_secs(95 * 60);
    const WAITS_IN: &str = "swarrot.delay.5700000";
    let bench = Bench::classic("new").await;
    bench.broker.delete(WAITS_IN).await.expect("it is not there");
    let delayed = Outgoing::new(&bench.queue, Message::new("later")).delay(MINUTES_95);
    bench.publisher().await.publish_one(delayed.clone()).await.expect("taken once the queue is old enough");
    // Another publisher does not know how old it is, and has less time than it takes to be sure.
    let publisher = bench.broker.publisher("", PublisherOptions::default().timeout(secs(2))).await;
    let result = publisher.expect("a publisher").publish_one(delayed).await;
    // A busy machine may not even get to send it.
    assert!(matches!(kind(result), ErrorKind::Unknown | ErrorKind::Timeout));
    bench.broker.delete(WAITS_IN).await.expect("deleted");
    bench.end().await;
}

#[tokio::test]
async fn a_missing_exchange_is_not_found() {
    let bench = Bench::classic("exchange").await;
    let exchange = unique("exchange");
    assert_eq!(kind(bench.broker.publisher(&exchange, PublisherOptions::default()).await), ErrorKind::NotFound);
    // Declared by somebody else, and deleted by him later.
    let other = connect(&url()).await.expect("the server answers");
    other.declare(&Topology::new().exchange(Exchange::fanout(&exchange))).await.expect("declared");
    other.declare(&Topology::new().bind(&exchange, &bench.queue, "")).await.expect("bound");
    let publisher = bench.broker.publisher(&exchange, PublisherOptions::default()).await.expect("it exists");
    publisher.publish_one(Outgoing::new("", Message::new("1"))).await.expect("routed");
    support::delete_exchange(&exchange).await;
    let batch: Vec<_> = (0..20).map(|_| Outgoing::new("", Message::new("2"))).collect();
    for result in publisher.publish(&batch).await {
        assert_eq!(kind(result), ErrorKind::NotFound);
    }
    // It comes back, and so does the publisher.
    other.declare(&Topology::new().exchange(Exchange::fanout(&exchange))).await.expect("declared");
    other.declare(&Topology::new().bind(&exchange, &bench.queue, "")).await.expect("bound");
    publisher.publish_one(Outgoing::new("", Message::new("3"))).await.expect("routed");
    support::delete_exchange(&exchange).await;
    other.close().await.expect("closed");
    bench.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let bench = Bench::with("full", |queue| queue.classic().max_length(3)).await;
    bench.fill(3).await;
    let options = PublisherOptions::default().timeout(Duration::from_millis(800));
    let publisher = bench.broker.publisher("", options).await.expect("a publisher");
    let refused = publisher.publish_one(Outgoing::new(&bench.queue, Message::new("4"))).await;
    assert_eq!(kind(refused), ErrorKind::Rejected);
    // Room is made while it is refused: it gets in.
    let publisher = bench.publisher().await;
    let publish = tokio::spawn({
        let queue = bench.queue.clone();
        async move { publisher.publish_one(Outgoing::new(&queue, Message::new("5"))).await }
    });
    let provider = bench.provider(1).await;
    ack_all(&*provider, &take(&*provider, 1).await).await;
    publish.await.expect("no panic").expect("published");
    bench.end().await;
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_message() {
    let bench = Bench::with("again", |queue| queue.classic().max_length(1)).await;
    let publisher = bench.publisher().await;
    publisher.publish_one(Outgoing::new(&bench.queue, Message::new("first"))).await.expect("there is room");
    let message = Message::new("second").id("its id").content_type("text/plain").priority(3).header("h", 7_i64);
    let (queue, again) = (bench.queue.clone(), message.clone());
    let mut publish = tokio::spawn(async move { publisher.publish_one(Outgoing::new(&queue, again)).await });
    // The channel is open, so that it was refused meanwhile.
    assert!(timeout(secs(1), &mut publish).await.is_err(), "it is sent until there is room");
    let provider = bench.provider(1).await;
    ack_all(&*provider, &take(&*provider, 1).await).await;
    publish.await.expect("no panic").expect("published");
    let delivery = next(&*provider).await;
    assert_eq!(delivery.message(), &message);
    ack_all(&*provider, &[delivery]).await;
    bench.end().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let bench = Bench::classic("large").await;
    let limits = Limits::default();
    let publisher = bench.broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    let publish = |message| publisher.publish_one(Outgoing::new(&bench.queue, message));
    assert_eq!(kind(publish(Message::new(vec![0; limits.body + 1])).await), ErrorKind::TooLarge);
    let headers = (0..20).fold(Message::new(""), |m, i| m.header(format!("h{i}"), "x".repeat(limits.header_value)));
    assert_eq!(kind(publish(headers).await), ErrorKind::TooLarge);
    assert_eq!(kind(publish(Message::new("").id("x".repeat(256))).await), ErrorKind::TooLarge);
    assert_eq!(kind(publish(Message::new("").header("x-death", 1_i64)).await), ErrorKind::InvalidInput);
    let key = publisher.publish_one(Outgoing::new("k".repeat(256), Message::new(""))).await;
    assert_eq!(kind(key), ErrorKind::TooLarge);
    publish(Message::new("fine")).await.expect("the publisher still works");
    bench.end().await;
}

#[tokio::test]
async fn the_one_that_the_broker_chokes_on_fails_and_no_other() {
    let bench = Bench::classic("culprit").await;
    let publisher = bench.publisher().await;
    let batch: Vec<_> = (0..50)
        .map(|i| {
            let mut message = Message::new(i.to_string());
            // The server closes the channel over a user that is not the connection's own.
            message.properties.user_id = (i == 25).then(|| "somebody-else".to_owned());
            Outgoing::new(&bench.queue, message)
        })
        .collect();
    for (i, result) in publisher.publish(&batch).await.into_iter().enumerate() {
        assert_eq!(result.is_ok(), i != 25, "{i}: {result:?}");
    }
    // What was sent with it may have been taken before, so that some come twice.
    let stats = bench.broker.stats(&bench.queue).await.expect("it exists");
    assert!((49..=98).contains(&stats.ready), "{stats:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_publish_leaves_others_alone() {
    let bench = Bench::classic("dropped").await;
    let publisher = bench.publisher().await;
    for i in 0..50 {
        let batch: Vec<_> = (0..100).map(|_| Outgoing::new(&bench.queue, Message::new("x"))).collect();
        let _ = tokio::time::timeout(Duration::from_micros(i * 50), publisher.publish(&batch)).await;
        publisher.publish_one(Outgoing::new(&bench.queue, Message::new("y"))).await.expect("published");
    }
    publisher.close().await.expect("closed");
    let count = bench.broker.stats(&bench.queue).await.expect("it exists").ready;
    assert!((50..=5050).contains(&count), "{count}");
    bench.end().await;
}

#[tokio::test]
async fn closing_waits_for_what_was_published() {
    let bench = Bench::classic("flush").await;
    let publisher = bench.publisher().await;
    let batch: Vec<_> = (0..500).map(|_| Outgoing::new(&bench.queue, Message::new("x"))).collect();
    let (results, closed) = tokio::join!(publisher.publish(&batch), async {
        tokio::task::yield_now().await;
        tokio::join!(publisher.close(), publisher.close())
    });
    assert!(closed.0.is_ok() && closed.1.is_ok(), "{closed:?}");
    let taken = results.iter().filter(|result| result.is_ok()).count();
    for result in results {
        assert!(result.as_ref().map_or_else(|e| e.kind() == ErrorKind::Closed, |()| true), "{result:?}");
    }
    assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").ready, taken as u64);
    assert_eq!(kind(publisher.publish_one(Outgoing::new(&bench.queue, Message::new("z"))).await), ErrorKind::Closed);
    bench.end().await;
}

#[tokio::test]
async fn a_closed_broker_makes_nothing() {
    let bench = Bench::classic("closed").await;
    let (publisher, provider) = (bench.publisher().await, bench.provider(1).await);
    let (first, second) = tokio::join!(bench.broker.close(), bench.broker.close());
    first.and(second).expect("closed");
    assert_eq!(kind(publisher.publish_one(Outgoing::new(&bench.queue, Message::new("z"))).await), ErrorKind::Closed);
    assert_eq!(kind(provider.receive(many(1), secs(1)).await), ErrorKind::Closed);
    assert_eq!(kind(bench.broker.ping().await), ErrorKind::Closed);
    assert_eq!(kind(bench.broker.stats(&bench.queue).await), ErrorKind::Closed);
    bench.end().await;
}
