//! Order, priorities, times to live, lengths, delivery limits.

use std::time::Duration;

use crate::common::{
    LONG, bodies, both, declare, max, one, provider, publisher, secs, send, send_all, settle, settle_kind, take,
};
use swarrot_core::message::names;
use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{Broker, DeadLetter, ErrorKind, Message, MessagePublisherExt, Outcome, Outgoing, ProviderOptions};
use swarrot_memory::MemoryBroker;

#[tokio::test(start_paused = true)]
async fn higher_priorities_first_and_equal_ones_in_order() {
    let broker = MemoryBroker::new();
    declare(&broker, Queue::new("q").max_priority(5)).await;
    for (body, priority) in
        [("low", Some(1)), ("none", None), ("five", Some(5)), ("over", Some(200)), ("low2", Some(1))]
    {
        let mut message = Message::new(body);
        message.properties.priority = priority;
        send(&broker, "q", message).await.expect("publish");
    }
    let provider = provider(&broker, "q").await;
    let got = take(&provider, 9).await;
    assert_eq!(bodies(&got), ["five", "over", "low", "low2", "none"]);
    // What is beyond the queue's highest is served as the highest, and keeps its own number.
    assert_eq!(got[1].message().properties.priority, Some(200));
    for delivery in got.iter().rev() {
        settle(&provider, delivery, Outcome::Requeue).await.expect("requeue");
    }
    assert_eq!(bodies(&take(&provider, 9).await), ["five", "over", "low", "low2", "none"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_priorities_ignores_them() {
    let broker = crate::common::with_queue().await;
    send(&broker, "q", Message::new("a").priority(1)).await.expect("publish");
    send(&broker, "q", Message::new("b").priority(9)).await.expect("publish");
    assert_eq!(bodies(&take(&provider(&broker, "q").await, 9).await), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_requeue_goes_where_the_profile_says_and_a_release_to_its_place() {
    for (broker, requeued) in both().into_iter().zip([["a", "b", "c"], ["b", "c", "a"]]) {
        declare(&broker, Queue::new("q")).await;
        send_all(&broker, "q", ["a", "b", "c"]).await;
        let provider = provider(&broker, "q").await;
        let got = take(&provider, 2).await;
        settle(&provider, &got[1], Outcome::Release).await.expect("release");
        settle(&provider, &got[0], Outcome::Release).await.expect("release");
        let got = take(&provider, 1).await;
        assert_eq!((bodies(&got), got[0].delivery_count(), got[0].redelivered()), (vec!["a"], Some(1), true));
        settle(&provider, &got[0], Outcome::Requeue).await.expect("requeue");
        let got = take(&provider, 3).await;
        assert_eq!(bodies(&got), requeued);
        let a = got.iter().find(|d| d.body() == "a").expect("it came back");
        assert_eq!((a.delivery_count(), a.redelivered(), a.attempt()), (Some(2), true, 1));
        broker.check().expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_expire_by_the_shorter_time_and_are_parked_or_dropped() {
    let broker = MemoryBroker::new();
    declare(&broker, Queue::new("q").message_ttl(secs(10))).await;
    declare(&broker, Queue::new("d").message_ttl(secs(10)).dead_letter(DeadLetter::Drop)).await;
    for queue in ["q", "d"] {
        send(&broker, queue, Message::new("short").ttl(secs(5))).await.expect("publish");
        send(&broker, queue, Message::new("long").ttl(secs(50))).await.expect("publish");
        send(&broker, queue, Message::new("for ever").ttl(Duration::MAX)).await.expect("publish");
    }
    tokio::time::advance(Duration::from_millis(4999)).await;
    assert_eq!(broker.stats("q").await.expect("stats").ready, 3);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(broker.stats("q").await.expect("stats").ready, 2);
    // A waiting provider of the dead-letter queue is woken by what expires elsewhere.
    let dead = provider(&broker, "q.dead").await;
    assert_eq!(bodies(&take(&dead, 9).await), ["short"]);
    let start = tokio::time::Instant::now();
    let late = dead.receive(max(9), LONG).await.expect("receive");
    assert_eq!((bodies(&late), start.elapsed()), (vec!["long", "for ever"], secs(5)));
    let failure = late[0].message().failure().expect("it failed");
    assert_eq!((failure.reason.as_deref(), failure.source_queue.as_deref()), (Some("expired"), Some("q")));
    assert_eq!(late[0].message().properties.ttl, None);
    assert_eq!(broker.ledger().expired, 3);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_does_not_expire_until_it_comes_back() {
    let broker = crate::common::with_queue().await;
    send(&broker, "q", Message::new("a").ttl(secs(5))).await.expect("publish");
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    tokio::time::advance(secs(6)).await;
    settle(&provider, &held, Outcome::Requeue).await.expect("requeue");
    assert!(take(&provider, 1).await.is_empty());
    assert_eq!(broker.parked("q").expect("parked").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_not_part_of_the_time_to_live() {
    let broker = crate::common::with_queue().await;
    let outgoing = Outgoing::new("q", Message::new("a").ttl(secs(5))).delay(secs(60));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    tokio::time::advance(secs(64)).await;
    assert_eq!(broker.stats("q").await.expect("stats").ready, 1);
    tokio::time::advance(secs(1)).await;
    assert_eq!(broker.stats("q").await.expect("stats").ready, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_publishes_and_dead_letters_and_no_retry() {
    let broker = MemoryBroker::new();
    let dead = Queue::new("q.dead").max_length(1).dead_letter(DeadLetter::Drop);
    broker.declare(&Topology::new().queue(Queue::new("q").max_length(2)).queue(dead)).await.expect("declare");
    send_all(&broker, "q", ["a", "b"]).await;
    assert_eq!(send(&broker, "q", Message::new("c")).await.expect_err("full").kind(), ErrorKind::Rejected);
    let delayed = Outgoing::new("q", Message::new("c")).delay(secs(1));
    let error = publisher(&broker, "").await.publish_one(delayed).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let provider = provider(&broker, "q").await;
    let got = take(&provider, 2).await;
    send_all(&broker, "q", ["d", "e"]).await;
    // What comes back always fits, in whichever way.
    settle(&provider, &got[0], Outcome::retry(secs(1))).await.expect("fits");
    tokio::time::advance(secs(1)).await;
    let retried = take(&provider, 3).await.pop().expect("the last");
    assert_eq!(retried.body(), "a");
    settle(&provider, &retried, Outcome::reject("first")).await.expect("room for one");
    assert_eq!(settle_kind(&provider, &got[1], Outcome::reject("second")).await, ErrorKind::Rejected);
    settle(&provider, &got[1], Outcome::Release).await.expect("it was still held");
    assert_eq!(bodies(&take(&provider, 9).await), ["b"]);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_without_dead_letter_queue_keeps_the_message_or_drops_it() {
    let broker = MemoryBroker::new();
    declare(&broker, Queue::new("q").dead_letter(DeadLetter::Drop)).await;
    send_all(&broker, "q", ["a", "b"]).await;
    let parking = provider(&broker, "q").await;
    let held = one(&parking).await;
    assert_eq!(settle_kind(&parking, &held, Outcome::reject("no")).await, ErrorKind::Unroutable);
    settle(&parking, &held, Outcome::Ack).await.expect("it was still held");
    let options = ProviderOptions::default().dead_letter(DeadLetter::Drop);
    let dropping = broker.provider("q", options).await.expect("provider");
    settle(&dropping, &one(&dropping).await, Outcome::reject("no")).await.expect("dropped");
    assert_eq!((broker.ledger().dropped, broker.ledger().acked), (1, 1));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_too_often_is_parked() {
    for broker in both() {
        declare(&broker, Queue::new("q").delivery_limit(2)).await;
        send_all(&broker, "q", ["a"]).await;
        let provider = provider(&broker, "q").await;
        for count in [1, 2, 3] {
            let delivery = one(&provider).await;
            assert_eq!(delivery.delivery_count(), Some(count));
            // What was not attempted does not count.
            settle(&provider, &delivery, Outcome::Release).await.expect("release");
            settle(&provider, &one(&provider).await, Outcome::Requeue).await.expect("requeue");
        }
        assert!(take(&provider, 1).await.is_empty());
        let failure = broker.parked("q").expect("parked")[0].failure().expect("it failed");
        assert!(failure.reason.is_some_and(|reason| reason.contains("delivered 3 times")));
        broker.check().expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_parked_waits_until_it_can() {
    let broker = MemoryBroker::new();
    let dead = Queue::new("q.dead").max_length(1).dead_letter(DeadLetter::Drop);
    broker.declare(&Topology::new().queue(Queue::new("q").message_ttl(secs(1))).queue(dead)).await.expect("declare");
    send_all(&broker, "q", ["a", "b", "c"]).await;
    tokio::time::advance(secs(2)).await;
    let stats = broker.stats("q").await.expect("stats");
    assert_eq!((stats.ready, stats.delayed, stats.parked), (0, Some(2), Some(1)));
    broker.check().expect("sound");
    let provider = provider(&broker, "q.dead").await;
    for body in ["a", "b"] {
        let delivery = one(&provider).await;
        assert_eq!(delivery.body(), body);
        settle(&provider, &delivery, Outcome::Ack).await.expect("ack");
    }
    // A dead-letter queue that was deleted and comes back gets the rest.
    broker.delete("q.dead").await.expect("delete");
    broker.check().expect("sound");
    send_all(&broker, "q", ["d"]).await;
    tokio::time::advance(secs(2)).await;
    assert_eq!(broker.stats("q").await.expect("stats").delayed, Some(1));
    declare(&broker, Queue::new("q.dead")).await;
    assert_eq!(broker.parked("q").expect("parked")[0].headers.get(names::REASON), Some(&"expired".into()));
    broker.check().expect("sound");
}
