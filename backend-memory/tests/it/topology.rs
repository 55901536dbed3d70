//! Declaring, deleting, purging, looking.

use crate::common::{LONG, declare, max, one, provider, secs, send_all, settle_kind, take, with_queue};
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{Broker, ConnectionState, DeadLetter, ErrorKind, Outcome};
use swarrot_memory::MemoryBroker;

#[tokio::test(start_paused = true)]
async fn declaring_again_is_nothing_or_a_conflict_that_says_what_differs() {
    let broker = with_queue().await;
    declare(&broker, Queue::new("q")).await;
    let other = Queue::new("q").max_length(7).message_ttl(secs(1));
    let error = broker.declare(&Topology::new().queue(other)).await.expect_err("differs");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    for part in ["\"q\"", "max_length is none and was declared as 7", "message_ttl"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("max_priority"), "{text}");
    for queue in [
        Queue::new("q").classic(),
        Queue::new("q").dead_letter(DeadLetter::Drop),
        Queue::new("q").max_priority(1),
        Queue::new("q").delivery_limit(None),
    ] {
        let error = broker.declare(&Topology::new().queue(queue)).await.expect_err("differs");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    broker.declare(&Topology::new().exchange(Exchange::topic("e"))).await.expect("declare");
    broker.declare(&Topology::new().exchange(Exchange::topic("e"))).await.expect("the same");
    let error = broker.declare(&Topology::new().exchange(Exchange::fanout("e"))).await.expect_err("differs");
    assert!(error.to_string().contains("kind is topic and was declared as fanout"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_topology_is_declared_as_a_whole_or_not_at_all() {
    let broker = MemoryBroker::new();
    for (topology, kind) in [
        (Topology::new().queue(Queue::new("new")).bind("nowhere", "new", ""), ErrorKind::NotFound),
        (Topology::new().exchange(Exchange::direct("e")).bind("e", "nowhere", ""), ErrorKind::NotFound),
        (Topology::new().queue(Queue::new("new")).bind("", "new", ""), ErrorKind::InvalidInput),
        (Topology::new().queue(Queue::new("new")).queue(Queue::new("new").classic()), ErrorKind::Conflict),
        (Topology::new().queue(Queue::new("new")).queue(Queue::new("a b")), ErrorKind::InvalidInput),
        (Topology::new().queue(Queue::new("n".repeat(198))), ErrorKind::InvalidInput),
    ] {
        let error = broker.declare(&topology).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(broker.stats("new").await.expect_err("not there").kind(), ErrorKind::NotFound);
        let error = broker.publisher("e", swarrot_core::PublisherOptions::default()).await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_arguments_are_named() {
    let queue = Queue::new("q").argument("x-single-active-consumer", true);
    let error = MemoryBroker::new().declare(&Topology::new().queue(queue)).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("x-single-active-consumer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_queue_may_be_declared_in_its_own_words() {
    let broker = MemoryBroker::new();
    let own = Queue::new("q.dead").max_length(1).dead_letter(DeadLetter::Drop);
    let both = Topology::new().queue(Queue::new("q")).queue(own.clone());
    broker.declare(&both).await.expect("declare");
    broker.declare(&both).await.expect("again");
    declare(&broker, Queue::new("q")).await;
    declare(&broker, own).await;
    assert_eq!(broker.stats("q.dead").await.expect("stats").parked, None);
    let dropping = Queue::new("d").dead_letter(DeadLetter::Drop);
    declare(&broker, dropping).await;
    assert_eq!(broker.stats("d").await.expect("stats").parked, None);
}

#[tokio::test(start_paused = true)]
async fn stats_count_each_state() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b", "c", "d"]).await;
    let provider = provider(&broker, "q").await;
    let got = take(&provider, 3).await;
    crate::common::settle(&provider, &got[0], Outcome::retry(secs(1))).await.expect("retry");
    crate::common::settle(&provider, &got[1], Outcome::reject("no")).await.expect("reject");
    let stats = broker.stats("q").await.expect("stats");
    assert_eq!(stats.ready, 1);
    assert_eq!((stats.unsettled, stats.delayed, stats.parked), (Some(1), Some(1), Some(1)));
    assert_eq!(stats.providers, Some(1));
    drop(provider);
    assert_eq!(broker.stats("q").await.expect("stats").providers, Some(0));
}

#[tokio::test(start_paused = true)]
async fn peek_takes_nothing() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b", "c"]).await;
    let seen = broker.peek("q", max(2)).await.expect("peek");
    assert_eq!(seen.iter().map(|m| &m.body[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    let got = take(&provider(&broker, "q").await, 9).await;
    assert_eq!(crate::common::bodies(&got), ["a", "b", "c"]);
    assert!(!got[0].redelivered());
}

#[tokio::test(start_paused = true)]
async fn purge_leaves_what_is_unsettled() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b", "c"]).await;
    let provider = provider(&broker, "q").await;
    let got = take(&provider, 2).await;
    crate::common::settle(&provider, &got[0], Outcome::retry(secs(9))).await.expect("retry");
    assert_eq!(broker.purge("q").await.expect("purge"), 2);
    crate::common::settle(&provider, &got[1], Outcome::Ack).await.expect("still held");
    tokio::time::advance(secs(10)).await;
    assert!(take(&provider, 9).await.is_empty());
    assert_eq!(broker.purge("nowhere").await.expect_err("missing").kind(), ErrorKind::NotFound);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn a_queue_deleted_under_its_provider() {
    let broker = MemoryBroker::new();
    let topology = Topology::new().exchange(Exchange::fanout("f")).queue(Queue::new("q")).bind("f", "q", "");
    broker.declare(&topology).await.expect("declare");
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    let (received, ()) = tokio::join!(provider.receive(max(1), LONG), async {
        tokio::task::yield_now().await;
        broker.delete("q").await.expect("delete");
    });
    assert_eq!(received.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(provider.connection(), ConnectionState::Closed);
    assert_eq!(settle_kind(&provider, &held, Outcome::Ack).await, ErrorKind::Stale);
    broker.delete("q").await.expect("not there is no error");
    broker.stats("q.dead").await.expect("its dead-letter queue stays");
    broker.check().expect("sound");
    // A queue of that name works again, without the old bindings.
    declare(&broker, Queue::new("q")).await;
    send_all(&broker, "q", ["b"]).await;
    assert_eq!(crate::common::bodies(&take(&provider, 9).await), ["b"]);
    let publisher = crate::common::publisher(&broker, "f").await;
    let outgoing = swarrot_core::Outgoing::new("", swarrot_core::Message::new(""));
    let error = swarrot_core::MessagePublisherExt::publish_one(&*publisher, outgoing).await.expect_err("unbound");
    assert_eq!(error.kind(), ErrorKind::Unroutable);
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_is() {
    let info = MemoryBroker::new().describe().await.expect("describe");
    assert_eq!(info.product, "swarrot-memory");
    assert_eq!(info.capabilities.len(), 2);
    assert!(info.warnings[0].contains("this process"));
}

#[tokio::test]
async fn passive_topology_checks_and_creates_nothing() {
    let connect = |query: &str| {
        let url = format!("memory://passive-topology{query}").parse().expect("a URL");
        MemoryBroker::connect(&url).expect("connects")
    };
    let (active, passive) = (connect(""), connect("?topology=passive"));
    let topology = Topology::new().exchange(Exchange::direct("e")).queue(Queue::new("q")).bind("e", "q", "k");
    let kind = |result: swarrot_core::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(kind(passive.declare(&topology).await), Err(ErrorKind::NotFound));
    assert_eq!(kind(active.stats("q").await.map(drop)), Err(ErrorKind::NotFound), "nothing was created");
    active.declare(&topology).await.expect("declares");
    assert_eq!(kind(passive.declare(&topology).await), Ok(()));
    let unbound = Topology::new().queue(Queue::new("q")).bind("e", "q", "other");
    assert_eq!(kind(passive.declare(&unbound).await), Err(ErrorKind::NotFound));
    let different = Topology::new().queue(Queue::new("q").max_length(3));
    assert_eq!(kind(passive.declare(&different).await), Err(ErrorKind::Conflict));
}
