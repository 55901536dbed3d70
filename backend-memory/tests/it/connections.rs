//! Handles, and brokers shared by name.

use crate::common::{LONG, bodies, declare, max, one, provider, publisher, send_all, take, with_queue};
use swarrot_core::topology::{Queue, QueueKind, Topology};
use swarrot_core::{Broker, ErrorKind, Message, MessagePublisherExt, Outgoing, RequeuePosition};
use swarrot_memory::MemoryBroker;

fn connect(url: &str) -> swarrot_core::Result<MemoryBroker> {
    MemoryBroker::connect(&url.parse().expect("a URL"))
}

#[tokio::test(start_paused = true)]
async fn closing_a_handle_closes_what_it_made_and_nothing_else() {
    let mine = with_queue().await;
    let theirs = mine.reconnect();
    send_all(&theirs, "q", ["a", "b"]).await;
    let (my_provider, my_publisher) = (provider(&mine, "q").await, publisher(&mine, "").await);
    let (their_provider, their_publisher) = (provider(&theirs, "q").await, publisher(&theirs, "").await);
    let _held = (one(&my_provider).await, one(&their_provider).await);
    let (ended, ()) = tokio::join!(my_provider.receive(max(1), LONG), async {
        tokio::task::yield_now().await;
        mine.close().await.expect("close");
        mine.close().await.expect("again");
    });
    let outgoing = [Outgoing::new("q", Message::new("c"))];
    let closed = [
        ended.expect_err("closed"),
        my_publisher.publish(&outgoing).await.remove(0).expect_err("closed"),
        mine.ping().await.expect_err("closed"),
        mine.clone().stats("q").await.expect_err("a clone is the same connection"),
        mine.declare(&Topology::new()).await.expect_err("closed"),
        mine.provider("q", swarrot_core::ProviderOptions::default()).await.expect_err("closed"),
        mine.publisher("", swarrot_core::PublisherOptions::default()).await.expect_err("closed"),
    ];
    for error in closed {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    their_publisher.publish_one(outgoing[0].clone()).await.expect("publish");
    assert_eq!(bodies(&take(&their_provider, 9).await), ["a", "c"]);
    theirs.ping().await.expect("alive");
    theirs.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_one_broker_while_anybody_is_connected() {
    let one = connect("memory://shared-name").expect("connect");
    declare(&one, Queue::new("q")).await;
    send_all(&one, "q", ["a"]).await;
    let other = connect("memory://shared-name?profile=amqp").expect("connect");
    let provider = provider(&other, "q").await;
    let error = connect("memory://shared-name?profile=streams").expect_err("another profile");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    connect("memory://another-name").expect("connect").stats("q").await.expect_err("another broker");
    connect("memory://").expect("connect").stats("q").await.expect_err("a fresh broker");
    // A provider alone keeps it alive.
    drop((one, other));
    connect("memory://shared-name").expect("connect").stats("q").await.expect("the same broker");
    assert_eq!(bodies(&take(&provider, 1).await), ["a"]);
    drop(provider);
    let fresh = connect("memory://shared-name?profile=streams&lease=5s").expect("the name is free");
    fresh.stats("q").await.expect_err("a new broker");
    let capabilities = fresh.into_dyn().capabilities(QueueKind::Quorum);
    assert_eq!(capabilities.lease, Some(crate::common::secs(5)));
    assert_eq!(capabilities.requeue_position, RequeuePosition::Tail);
}

#[test]
fn what_each_profile_claims() {
    for (broker, lease) in crate::common::both().into_iter().zip([None, Some(crate::common::LEASE)]) {
        let can = broker.capabilities(QueueKind::Classic);
        assert_eq!(can, broker.capabilities(QueueKind::Quorum));
        assert!(can.unroutable && can.ordered && can.delivery_count && can.ttl && can.length_limit);
        assert!(can.browse && can.list);
        assert!(can.dead_letter && !can.durable && !can.network);
        assert_eq!((can.lease, can.max_priority, can.delay_grid_percent), (lease, Some(255), 0));
    }
}
