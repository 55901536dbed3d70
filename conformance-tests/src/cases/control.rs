//! Beyond the list: what a broker tells and does besides messages, and whether the harness and it agree.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::future::join_all;
use swarrot_core::message::names::{self, dead_letter_queue};
use swarrot_core::topology::{Comparison, Exchange, Part, PartState, Topology};
use swarrot_core::{Broker, ErrorKind, Message, Outcome, Outgoing, ProviderOptions, QueueStats};
use tokio::time::{Instant, sleep};

use crate::run::{
    Case, Claim::Browse, Claim::DeadLetter, Claim::Delay, Claim::LengthLimit, Claim::List, Context, Need::Claimed,
    Setup, case,
};
use crate::support::{PATIENCE, ProviderActions as _, PublisherActions as _, bodies, ms, secs, text};

const GROUP: &str = "control";

pub(super) const CASES: &[Case] = &[
    case!(claims_agree),
    case!(describe_and_ping),
    case!(declare_is_idempotent),
    case!(declare_conflict).needs(&[Claimed(LengthLimit)]),
    case!(compare_tells_and_changes_nothing),
    case!(compare_names_differences).needs(&[Claimed(LengthLimit)]),
    case!(bad_names_refused),
    case!(stats_count),
    case!(stats_count_delayed_and_parked).needs(&[Claimed(Delay), Claimed(DeadLetter)]),
    case!(purge_leaves_unsettled),
    case!(delete_keeps_dead_letters).needs(&[Claimed(DeadLetter)]),
    case!(queues_are_listed).needs(&[Claimed(List)]),
    case!(peek_takes_nothing).needs(&[Claimed(Browse)]),
    case!(set_prefetch_live),
    case!(receive_by_several_tasks),
    case!(closed_broker_refuses),
];

async fn claims_agree(cx: &Context) {
    let Setup { broker, publisher, provider, .. } = cx.setup().await;
    let (claimed, kind) = (cx.capabilities(), cx.queue_to_declare("q").kind);
    assert_eq!(broker.capabilities(kind), claimed, "what the broker says, against what the harness claims");
    assert_eq!(provider.capabilities(), claimed, "what the provider says, against what the harness claims");
    let (says, harness) = (publisher.capabilities(), claimed);
    assert_eq!(
        (says.unroutable, says.max_delay, says.network),
        (harness.unroutable, harness.max_delay, harness.network)
    );
    let told = broker.describe().await.expect("describes").capabilities;
    let told = told.into_iter().find(|(of, _)| *of == kind).map(|(_, capabilities)| capabilities);
    assert_eq!(told, Some(claimed), "what `describe` says, against what the harness claims");
}

async fn describe_and_ping(cx: &Context) {
    let broker = cx.connect().await;
    broker.ping().await.expect("a sign of life");
    let info = broker.describe().await.expect("describes");
    assert!(!info.product.is_empty() && !info.version.is_empty(), "{info:?}");
}

async fn declare_is_idempotent(cx: &Context) {
    let broker = cx.connect().await;
    let (queue, exchange) = (cx.queue_to_declare("q"), cx.name("x"));
    let name = queue.name.clone();
    let topology = Topology::new().exchange(Exchange::topic(&exchange)).queue(queue).bind(&exchange, &name, "k");
    cx.declare(&*broker, &topology).await;
    cx.publisher(&*broker, &exchange).await.send_body("k", "stays").await;
    cx.declare(&*broker, &topology).await;
    cx.declare(&*cx.connect().await, &topology).await;
    cx.publisher(&*broker, &exchange).await.send_body("k", "once").await;
    let provider = cx.provider(&*broker, &name).await;
    let came: Vec<_> = provider.take_acked(2).await.iter().map(text).collect();
    assert!(came.contains(&"stays".to_owned()) && came.contains(&"once".to_owned()), "{came:?}");
    provider.nothing().await;
}

async fn declare_conflict(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "stays").await;
    let other = cx.queue_to_declare("q").max_length(7);
    let beside = cx.queue_to_declare("beside");
    let topology = Topology::new().queue(other).queue(beside);
    let error = cx.try_declare(&*broker, &topology).await.expect_err("it exists without a length limit");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let line = error.to_string();
    assert!(line.contains(&queue) && line.contains("length"), "it says of which queue what differs: {line}");
    assert_eq!(text(&provider.one_acked().await), "stays");
}

async fn compare_tells_and_changes_nothing(cx: &Context) {
    let broker = cx.connect().await;
    let (queue, exchange) = (cx.queue_to_declare("q"), cx.name("x"));
    let name = queue.name.clone();
    let topology = Topology::new().exchange(Exchange::topic(&exchange)).queue(queue).bind(&exchange, &name, "k");
    let with_binding = async || {
        let parts = broker.compare(&topology).await.expect("compares");
        let (binding, others) = parts.split_last().expect("three parts at least");
        assert!(matches!(binding.part, Part::Binding(_)), "{parts:?}");
        assert!(matches!(others[0].part, Part::Exchange(_)) && matches!(others[1].part, Part::Queue(_)), "{parts:?}");
        let states: Vec<_> = others.iter().map(|part| part.state.clone()).collect();
        (states, binding.state.clone())
    };
    for _ in 0..2 {
        let (states, binding) = with_binding().await;
        assert!(states.iter().all(|state| *state == PartState::Missing), "nothing is there: {states:?}");
        assert!(matches!(binding, PartState::Missing | PartState::Unknown(_)), "{binding:?}");
    }
    cx.declare(&*broker, &topology).await;
    let (states, binding) = with_binding().await;
    assert!(states.iter().all(|state| *state == PartState::Same), "all is there: {states:?}");
    assert!(matches!(binding, PartState::Same | PartState::Unknown(_)), "{binding:?}");
}

async fn compare_names_differences(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    publisher.send_body(&queue, "stays").await;
    let other =
        Topology::new().queue(cx.queue_to_declare("q").max_length(7).dead_letter(swarrot_core::DeadLetter::Drop));
    let parts = broker.compare(&other).await.expect("compares");
    let [Comparison { part: Part::Queue(name), state: PartState::Different(differences), .. }] = parts.as_slice()
    else {
        panic!("one queue that differs: {parts:?}");
    };
    assert_eq!(*name, queue);
    let says = |word: &str| differences.iter().any(|difference| difference.name.replace('-', "_").contains(word));
    assert!(says("max_length") && says("dead_letter"), "both are told: {differences:?}");
    assert_eq!(stats(&*broker, &queue, |s| s.ready == 1).await.ready, 1);
}

async fn bad_names_refused(cx: &Context) {
    let broker = cx.connect().await;
    for name in ["", "with space", "slash/ed", "ünïcödé", &"x".repeat(201)] {
        let mut queue = cx.queue_to_declare("q");
        name.clone_into(&mut queue.name);
        let refused = [
            broker.declare(&Topology::new().queue(queue)).await.err(),
            broker.declare(&Topology::new().exchange(Exchange::direct(name))).await.err(),
            broker.provider(name, ProviderOptions::default()).await.err(),
        ];
        for error in refused {
            assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::InvalidInput), "the name {name:?}");
        }
    }
}

/// The numbers of a queue once they are as expected, or after a while: some brokers count with a delay.
async fn stats(broker: &dyn Broker, queue: &str, expected: impl Fn(&QueueStats) -> bool) -> QueueStats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = broker.stats(queue).await.expect("stats");
        if expected(&stats) || Instant::now() >= deadline {
            return stats;
        }
        sleep(ms(100)).await;
    }
}

async fn stats_count(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let provider = cx.provider_holding(&*broker, &queue, 3).await;
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    assert_eq!(stats(&*broker, &queue, |s| s.ready == 10).await.ready, 10);
    let held = provider.take(3).await;
    let now = stats(&*broker, &queue, |s| s.ready == 7 && s.unsettled.is_none_or(|n| n == 3)).await;
    assert_eq!((now.ready, now.unsettled.unwrap_or(3)), (7, 3), "{now:?}");
    provider.stop().await.expect("stops");
    provider.ack_all(&held).await;
    let now = stats(&*broker, &queue, |s| s.unsettled.is_none_or(|n| n == 0)).await;
    assert_eq!((now.ready, now.unsettled.unwrap_or(0)), (7, 0), "{now:?}");
}

async fn stats_count_delayed_and_parked(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 2)).await;
    for delivery in provider.take(2).await {
        provider.settle_one(&delivery, Outcome::reject("away")).await;
    }
    publisher.send(Outgoing::new(&queue, Message::new("later")).delay(secs(3))).await;
    let as_expected =
        |s: &QueueStats| s.ready == 0 && s.parked == Some(2) && s.delayed.is_none_or(|delayed| delayed == 1);
    let now = stats(&*broker, &queue, as_expected).await;
    assert!(as_expected(&now), "{now:?}");
    provider.one_acked().await;
}

async fn purge_leaves_unsettled(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let provider = cx.provider_holding(&*broker, &queue, 2).await;
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    let held = provider.take(2).await;
    assert_eq!(broker.purge(&queue).await.expect("purges"), 8);
    provider.ack(&held[0]).await;
    provider.settle_one(&held[1], Outcome::Requeue).await;
    assert_eq!(text(&provider.one_acked().await), text(&held[1]));
    provider.nothing().await;
    assert_eq!(broker.purge(&queue).await.expect("purges"), 0);
}

async fn delete_keeps_dead_letters(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, ["parked", "deleted"]).await;
    let [first, _] = <[_; 2]>::try_from(provider.take(2).await).expect("two");
    provider.settle_one(&first, Outcome::reject("hopeless")).await;
    provider.close().await.expect("closes");
    broker.delete(&queue).await.expect("deletes");
    assert_eq!(broker.stats(&queue).await.map_err(|e| e.kind()).err(), Some(ErrorKind::NotFound));
    let dead = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await;
    assert_eq!(text(&dead.one_acked().await), text(&first));
    dead.nothing().await;
}

async fn queues_are_listed(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let listed = async || broker.queues().await.expect("lists");
    assert!(listed().await.contains(&queue));
    // More than one step of a backend that goes through its keys.
    let others: Vec<_> = (0..30).map(|n| cx.queue_to_declare(&format!("other-{n}"))).collect();
    let topology = others.iter().fold(Topology::new(), |topology, queue| topology.queue(queue.clone()));
    cx.declare(&*cx.connect().await, &topology).await;
    publisher.send_body(&queue, "x").await;
    let names = listed().await;
    assert!(names.is_sorted() && names.windows(2).all(|two| two[0] != two[1]), "in order, each once: {names:?}");
    for queue in &others {
        assert!(names.contains(&queue.name), "{} is missing: {names:?}", queue.name);
        let parks = queue.dead_letter == swarrot_core::DeadLetter::Park;
        assert_eq!(names.contains(&dead_letter_queue(&queue.name)), parks, "{names:?}");
    }
    broker.delete(&others[0].name).await.expect("deletes");
    assert!(!listed().await.contains(&others[0].name), "it is gone");
}

async fn peek_takes_nothing(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 5)).await;
    let look = async |max: usize| {
        let max = NonZeroUsize::new(max).expect("not zero");
        let seen = broker.peek(&queue, max).await.expect("looks");
        seen.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(look(3).await, bodies("m", 3));
    assert_eq!(look(10).await, bodies("m", 5));
    let delivery = provider.one().await;
    assert_eq!((text(&delivery).as_str(), delivery.redelivered()), ("m-0", false));
    assert!(delivery.delivery_count().is_none_or(|count| count == 1), "a look counted as a delivery");
    provider.ack(&delivery).await;
    provider.take_acked(4).await;
    provider.nothing().await;
    assert!(look(1).await.is_empty());
}

async fn set_prefetch_live(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    cx.publisher(&*broker, "").await.send_bodies(&queue, bodies("m", 20)).await;
    let provider = cx.provider_holding(&*broker, &queue, 2).await;
    let mut held = provider.take(2).await;
    provider.nothing().await;
    provider.set_prefetch(5.try_into().expect("not zero")).await.expect("raises");
    held.extend(provider.take(3).await);
    provider.nothing().await;
    // A lower one takes nothing back, and nothing new comes before less than that is held.
    provider.set_prefetch(1.try_into().expect("not zero")).await.expect("lowers");
    while let Some(delivery) = held.pop() {
        assert!(provider.up_to(5, ms(50)).await.expect("receives").is_empty(), "more than the lower number is held");
        provider.ack(&delivery).await;
    }
    for _ in 5..20 {
        let delivery = provider.one().await;
        assert!(provider.up_to(5, ms(20)).await.expect("receives").is_empty(), "more than one is held");
        provider.ack(&delivery).await;
    }
    provider.nothing().await;
}

async fn receive_by_several_tasks(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (provider, ledger) = (Arc::clone(&provider), ledger.clone());
            tokio::spawn(async move {
                loop {
                    let some = provider.up_to(3, secs(2)).await.expect("receives");
                    if some.is_empty() {
                        return;
                    }
                    ledger.received_all(&some);
                    provider.ack_all(&some).await;
                }
            })
        })
        .collect();
    for batch in bodies("m", 400).chunks(40) {
        ledger.publish(&*publisher, &queue, batch.to_vec()).await;
        sleep(ms(10)).await;
    }
    join_all(tasks).await.into_iter().for_each(|task| task.expect("no task fails"));
    assert_eq!(ledger.check().received, 400);
}

async fn closed_broker_refuses(cx: &Context) {
    let Setup { broker, queue, .. } = cx.setup().await;
    broker.close().await.expect("closes");
    let one = NonZeroUsize::MIN;
    let refusals = [
        broker.declare(&Topology::new().queue(cx.queue_to_declare("q"))).await.err(),
        broker.provider(&queue, ProviderOptions::default()).await.err(),
        broker.stats(&queue).await.err(),
        broker.purge(&queue).await.err(),
        broker.delete(&queue).await.err(),
        broker.ping().await.err(),
    ];
    for error in refusals {
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Closed));
    }
    if cx.capabilities().list {
        assert_eq!(broker.queues().await.map_err(|e| e.kind()).err(), Some(ErrorKind::Closed));
    }
    if cx.capabilities().browse {
        assert_eq!(broker.peek(&queue, one).await.map_err(|e| e.kind()).err(), Some(ErrorKind::Closed));
    }
}
