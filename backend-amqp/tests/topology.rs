//! Declaring, delays, and what the server tells.

mod support;

use std::time::{Duration, Instant};

use support::{Bench, ack_all, body, connect, kind, next, nothing, secs, settle, take, unique, url, url_with};
use swarrot_core::topology::{Exchange, Queue, QueueKind, Topology};
use swarrot_core::{
    Broker, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing, ProviderOptions, PublisherOptions,
    RequeuePosition,
};

#[tokio::test]
async fn a_conflict_says_what_differs() {
    let bench = Bench::with("conflict", |queue| queue.classic().max_length(10)).await;
    for (queue, argument) in [
        (Queue::new(&bench.queue).classic().max_length(5), "x-max-length"),
        (Queue::new(&bench.queue).max_length(10), "x-queue-type"),
    ] {
        let error = bench.broker.declare(&Topology::new().queue(queue)).await.expect_err("it differs");
        assert_eq!((error.kind(), error.target()), (ErrorKind::Conflict, Some(bench.queue.as_str())), "{error}");
        let text = error.to_string();
        assert!(text.contains(argument) || text.contains(".dead") || text.contains("x-dead-letter"), "{text}");
    }
    let exchange = unique("exchange");
    bench.broker.declare(&Topology::new().exchange(Exchange::topic(&exchange))).await.expect("declared");
    let error =
        bench.broker.declare(&Topology::new().exchange(Exchange::fanout(&exchange))).await.expect_err("differs");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("'fanout'") && error.to_string().contains("'topic'"), "{error}");
    // The broker still works.
    bench.broker.ping().await.expect("alive");
    support::delete_exchange(&exchange).await;
    bench.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let broker = connect(&url()).await.expect("the server answers");
    let queue = unique("missing");
    assert_eq!(kind(broker.provider(&queue, ProviderOptions::default()).await), ErrorKind::NotFound);
    assert_eq!(kind(broker.stats(&queue).await), ErrorKind::NotFound);
    assert_eq!(kind(broker.purge(&queue).await), ErrorKind::NotFound);
    broker.delete(&queue).await.expect("it need not exist");
    assert_eq!(kind(broker.declare(&Topology::new().bind("no-such", &queue, "")).await), ErrorKind::NotFound);
    for bad in ["", "a b", "a/b"] {
        assert_eq!(kind(broker.provider(bad, ProviderOptions::default()).await), ErrorKind::InvalidInput);
    }
    assert_eq!(kind(broker.publisher("a b", PublisherOptions::default()).await), ErrorKind::InvalidInput);
    broker.close().await.expect("closed");
}

#[tokio::test]
async fn passive_topology_creates_nothing() {
    let bench = Bench::new("passive").await;
    let passive = connect(&url_with("topology=passive")).await.expect("the server answers");
    passive.declare(&Topology::new().queue(Queue::new(&bench.queue))).await.expect("it is there");
    let missing = unique("missing");
    assert_eq!(kind(passive.declare(&Topology::new().queue(Queue::new(&missing))).await), ErrorKind::NotFound);
    assert_eq!(kind(bench.broker.stats(&missing).await), ErrorKind::NotFound);
    passive.close().await.expect("closed");
    bench.end().await;
}

#[tokio::test]
async fn wrong_credentials_and_vhosts() {
    let refused = |url: String| async move {
        let error = connect(&url).await.map(drop).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("wrong-password"), "{error:?}");
        error.kind()
    };
    let (scheme, rest) = url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a URL");
    let rest = rest.rsplit_once('@').map_or(rest.clone(), |(_, rest)| rest.to_owned());
    assert_eq!(refused(format!("{scheme}://guest:wrong-password@{rest}")).await, ErrorKind::AccessRefused);
    let host = rest.split(['/', '?']).next().expect("a host").to_owned();
    assert_eq!(refused(format!("{scheme}://guest:guest@{host}/no-such-vhost")).await, ErrorKind::NotFound);
    assert_eq!(refused(format!("{scheme}://127.0.0.1:1/")).await, ErrorKind::Connection);
    // One host of several is enough.
    let broker = connect(&format!("{scheme}://guest:guest@127.0.0.1:1,{host}")).await.expect("the second answers");
    broker.close().await.expect("closed");
}

#[tokio::test]
async fn a_host_that_never_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("amqp://{}/?connect_timeout=1", listener.local_addr().expect("an address"));
    let accepted = tokio::spawn(async move { listener.accept().await.expect("a connection") });
    let begun = Instant::now();
    assert_eq!(kind(connect(&url).await), ErrorKind::Connection);
    assert!(begun.elapsed() < secs(3), "{:?}", begun.elapsed());
    // The connection was cut, and with it lapin's thread ended.
    let (mut stream, _) = accepted.await.expect("no panic");
    let read = async { tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await };
    tokio::time::timeout(secs(5), read).await.expect("it was closed").ok();
}

#[tokio::test]
async fn what_cannot_be_had_is_refused() {
    let broker = connect(&url()).await.expect("the server answers");
    let queue = Queue::new(unique("limit")).classic().delivery_limit(3);
    assert_eq!(kind(broker.declare(&Topology::new().queue(queue)).await), ErrorKind::Unsupported);
    let quorum = broker.capabilities(QueueKind::Quorum);
    if quorum.max_priority.is_none() {
        let queue = Queue::new(unique("priority")).max_priority(5);
        assert_eq!(kind(broker.declare(&Topology::new().queue(queue)).await), ErrorKind::Unsupported);
    }
    assert_eq!(kind(broker.peek("any", support::many(1)).await), ErrorKind::Unsupported);
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    let long = Outgoing::new("any", Message::new("")).delay(quorum.max_delay.expect("delays") + secs(1));
    assert_eq!(kind(publisher.publish_one(long).await), ErrorKind::Unsupported);
    let both = Outgoing::new("any", Message::new("").ttl(secs(1))).delay(secs(1));
    assert_eq!(kind(publisher.publish_one(both).await), ErrorKind::Unsupported);
    broker.close().await.expect("closed");
}

#[tokio::test]
async fn the_server_introduces_itself() {
    let broker = connect(&url()).await.expect("the server answers");
    let info = broker.describe().await.expect("it tells");
    assert_eq!(info.product, "RabbitMQ");
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{}", info.version);
    assert_eq!(info.capabilities.len(), 2);
    let classic = broker.capabilities(QueueKind::Classic);
    assert_eq!((classic.requeue_position, classic.max_priority), (RequeuePosition::Head, Some(255)));
    assert!(broker.capabilities(QueueKind::Quorum).delivery_count && !classic.delivery_count);
    broker.close().await.expect("closed");
}

#[tokio::test]
async fn purge_and_delete() {
    let bench = Bench::new("purge").await;
    bench.fill(7).await;
    assert_eq!(bench.broker.purge(&bench.queue).await.expect("purged"), 7);
    assert_eq!(bench.broker.stats(&bench.queue).await.expect("it exists").ready, 0);
    bench.broker.delete(&bench.queue).await.expect("deleted");
    assert_eq!(kind(bench.broker.stats(&bench.queue).await), ErrorKind::NotFound);
    bench.end().await;
}

#[tokio::test]
async fn delays_are_kept_and_none_waits_behind_another() {
    let bench = Bench::new("delay").await;
    let publisher = bench.publisher().await;
    let provider = bench.provider(50).await;
    let begun = Instant::now();
    let batch: Vec<_> = [2000, 300, 0, 1000, 300]
        .map(|ms| Outgoing::new(&bench.queue, Message::new(ms.to_string())).delay(Duration::from_millis(ms)))
        .into();
    // At the same time: the confirmation for a delay queue that is new takes its time, its messages do not.
    let publish = async {
        for result in publisher.publish(&batch).await {
            result.expect("taken");
        }
    };
    let receive = async {
        for expected in [0, 300, 300, 1000, 2000] {
            let delivery = next(&*provider).await;
            let late = begun.elapsed().as_millis();
            assert_eq!(body(&delivery), expected.to_string());
            assert!(late >= expected && late < expected + 800, "{expected}: {late}");
            assert!(delivery.headers().is_empty(), "a delay leaves no trace: {:?}", delivery.headers());
            ack_all(&*provider, &[delivery]).await;
        }
    };
    tokio::join!(publish, receive);
    nothing(&*provider).await;
    let missing = Outgoing::new(unique("missing"), Message::new("")).delay(secs(1));
    assert_eq!(kind(publisher.publish_one(missing).await), ErrorKind::Unroutable);
    bench.end().await;
}

#[tokio::test]
async fn a_delayed_retry_comes_back_later_again_and_again() {
    let bench = Bench::new("redelay").await;
    // The time to live ends only the first wait.
    bench.publish(Message::new("x").ttl(Duration::from_millis(800))).await;
    let provider = bench.provider(5).await;
    for attempt in 1..=6 {
        let delivery = next(&*provider).await;
        assert_eq!(delivery.attempt(), attempt);
        let begun = Instant::now();
        if attempt == 6 {
            settle(&*provider, &delivery, Outcome::Ack).await;
        } else {
            let after = if attempt == 1 { secs(1) } else { Duration::from_millis(120) };
            settle(&*provider, &delivery, Outcome::retry(after)).await;
            let [again] = &take(&*provider, 1).await[..] else { panic!("one") };
            assert!(begun.elapsed() >= after, "{:?}", begun.elapsed());
            settle(&*provider, again, Outcome::Release).await;
        }
    }
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn expired_and_undeliverable_messages_are_parked() {
    let bench = Bench::with("expire", |queue| queue.delivery_limit(2)).await;
    bench.publish(Message::new("short").ttl(Duration::from_millis(50))).await;
    let dead =
        bench.broker.provider(&format!("{}.dead", bench.queue), ProviderOptions::default()).await.expect("there");
    let parked = next(&*dead).await;
    assert_eq!(body(&parked), "short");
    assert!(parked.headers().contains("x-death"), "{:?}", parked.headers());
    bench.publish(Message::new("poison")).await;
    let provider = bench.provider(1).await;
    for count in 1..=3 {
        let delivery = next(&*provider).await;
        assert_eq!(delivery.delivery_count(), Some(count));
        settle(&*provider, &delivery, Outcome::Requeue).await;
    }
    assert_eq!(body(&next(&*dead).await), "poison");
    nothing(&*provider).await;
    bench.end().await;
}

#[tokio::test]
async fn priorities_of_a_classic_queue() {
    let bench = Bench::with("priority", |queue| queue.classic().max_priority(9)).await;
    let publisher = bench.publisher().await;
    for priority in [1, 9, 5, 9] {
        let message = Message::new(priority.to_string()).priority(priority);
        publisher.publish_one(Outgoing::new(&bench.queue, message)).await.expect("published");
    }
    let provider = bench.provider(1).await;
    for expected in ["9", "9", "5", "1"] {
        let delivery = next(&*provider).await;
        assert_eq!(body(&delivery), expected);
        settle(&*provider, &delivery, Outcome::Ack).await;
    }
    bench.end().await;
}
