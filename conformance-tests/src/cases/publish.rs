//! Publishing: `Ok` means that the broker has the message, and nothing else does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use swarrot_core::topology::Topology;
use swarrot_core::{ErrorKind, Limits, Message, MessagePublisher, Outgoing, PublisherOptions};
use tokio::time::{Instant, timeout};

use crate::run::{Case, Claim::LengthLimit, Claim::Unroutable, Context, Need::Claimed, Setup, case};
use crate::support::{PATIENCE, ProviderActions as _, PublisherActions as _, bodies, poll_times, secs};

const GROUP: &str = "publish";

pub(super) const CASES: &[Case] = &[
    case!(accepted_means_visible),
    case!(kept_without_provider),
    case!(empty_body),
    case!(body_1mib),
    case!(over_max_size),
    case!(missing_target_errors).needs(&[Claimed(Unroutable)]),
    case!(after_close_errors),
    case!(concurrent_100_tasks),
    case!(cancelled_publish),
    case!(broker_refusal_is_error).needs(&[Claimed(LengthLimit)]),
];

async fn accepted_means_visible(cx: &Context) {
    let Setup { queue, publisher, .. } = cx.setup().await;
    publisher.send_body(&queue, "here").await;
    let other = cx.connect().await;
    let fresh = cx.provider(&*other, &queue).await;
    assert_eq!(fresh.one_acked().await.body(), "here");
}

async fn kept_without_provider(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    let publisher = cx.publisher(&*broker, "").await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("kept", 10)).await;
    publisher.close().await.expect("the publisher closes");
    broker.close().await.expect("the broker closes");
    let later = cx.connect().await;
    let provider = cx.provider(&*later, &queue).await;
    ledger.received_all(&provider.take_acked(10).await);
    provider.nothing().await;
    ledger.check();
}

async fn empty_body(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send(Outgoing::new(&queue, Message::new("").header("full", true))).await;
    let delivery = provider.one_acked().await;
    assert!(delivery.body().is_empty(), "an empty body arrived with {} bytes", delivery.body().len());
    assert_eq!(delivery.headers().get("full"), Some(&true.into()));
}

async fn body_1mib(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let mut body = vec![0; 1 << 20];
    fastrand::Rng::with_seed(1).fill(&mut body);
    publisher.send_body(&queue, body.clone()).await;
    let delivery = provider.one_acked().await;
    assert!(delivery.body() == &body, "1 MiB arrived as {} bytes, or changed", delivery.body().len());
}

async fn over_max_size(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let limit = Limits::default().body;
    let error = publisher.try_send(Outgoing::new(&queue, Message::new(vec![0; limit + 1]))).await;
    assert_eq!(error.map_err(|e| e.kind()), Err(ErrorKind::TooLarge), "one byte over the default limit");
    publisher.send_body(&queue, "still usable").await;

    let mut limits = Limits::default();
    limits.body = 10;
    let options = PublisherOptions::default().limits(limits);
    let strict = broker.publisher("", options).await.expect("a publisher with another limit");
    let error = strict.try_send(Outgoing::new(&queue, Message::new("11 bytes or"))).await;
    assert_eq!(error.map_err(|e| e.kind()), Err(ErrorKind::TooLarge), "one byte over a limit of its own");
    strict.send_body(&queue, "10 bytes!!").await;
    let arrived: Vec<_> = provider.take_acked(2).await.iter().map(|d| d.body().clone()).collect();
    assert!(arrived.contains(&"still usable".into()) && arrived.contains(&"10 bytes!!".into()), "{arrived:?}");
    provider.nothing().await;
}

async fn missing_target_errors(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let missing = cx.name("missing");
    // Mixed with good ones, many at a time: a client may put the broker's answer on the wrong message.
    let batch = (0..200).map(|i| {
        let key = if i % 2 == 0 { &queue } else { &missing };
        Outgoing::new(key, Message::new(i.to_string()))
    });
    let ledger = cx.ledger();
    let results = ledger.try_send(&*publisher, batch.collect()).await;
    for (i, result) in results.into_iter().enumerate() {
        let expected = if i % 2 == 0 { Ok(()) } else { Err(ErrorKind::Unroutable) };
        assert_eq!(result.map_err(|e| e.kind()), expected, "the result of message {i} of 200");
    }
    ledger.received_all(&provider.take_acked(100).await);
    provider.nothing().await;
    ledger.check();

    let exchange = swarrot_core::topology::Exchange::direct(cx.name("x"));
    let bound = Topology::new().exchange(exchange.clone()).bind(&exchange.name, &queue, "bound");
    cx.declare(&*broker, &bound).await;
    let publisher = cx.publisher(&*broker, &exchange.name).await;
    publisher.send_body("bound", "routed").await;
    let error = publisher.try_send(Outgoing::new("unbound", Message::new("lost"))).await;
    assert_eq!(error.map_err(|e| e.kind()), Err(ErrorKind::Unroutable), "a key that no queue is bound with");
    assert_eq!(provider.one_acked().await.body(), "routed");
}

async fn after_close_errors(cx: &Context) {
    let Setup { broker, queue, publisher, .. } = cx.setup().await;
    let other = cx.publisher(&*broker, "").await;
    publisher.close().await.expect("the publisher closes");
    let closed = |publisher: Arc<dyn MessagePublisher>| {
        let outgoing = Outgoing::new(&queue, Message::new("late"));
        async move {
            let result = timeout(secs(5), publisher.try_send(outgoing)).await;
            let result = result.expect("a closed publisher answers at once");
            assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Closed));
        }
    };
    closed(publisher).await;
    other.send_body(&queue, "others are not affected").await;
    broker.close().await.expect("the broker closes");
    closed(other).await;
    let made = timeout(secs(5), broker.publisher("", PublisherOptions::default())).await;
    match made.expect("a closed broker answers at once") {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}"),
        Ok(publisher) => closed(publisher).await,
    }
}

async fn concurrent_100_tasks(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let tasks = (0..100).map(|task| {
        let (ledger, publisher, queue) = (ledger.clone(), Arc::clone(&publisher), queue.clone());
        tokio::spawn(async move {
            for i in 0..10 {
                ledger.publish(&*publisher, &queue, [format!("{task}-{i}")]).await;
            }
        })
    });
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        task.expect("every publish is confirmed");
    }
    ledger.received_all(&provider.take_acked(1000).await);
    provider.nothing().await;
    assert_eq!(ledger.check().confirmed, 1000);
}

async fn cancelled_publish(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    for polls in 0..40 {
        let batch = bodies(&format!("dropped-{polls}"), 3);
        // Dropped after so many polls: before, while or after the broker took it.
        poll_times(polls, ledger.try_publish(&*publisher, &queue, batch)).await;
        let after = ledger.try_publish(&*publisher, &queue, [format!("after-{polls}")]);
        let results = timeout(PATIENCE, after).await.expect("the next publish does not hang");
        for result in results {
            result.expect("the publish after a dropped one works");
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while ledger.outstanding() > 0 && Instant::now() < deadline {
        let some = provider.up_to(100, secs(1)).await.expect("receives");
        ledger.received_all(&some);
        provider.ack_all(&some).await;
    }
    // What was dropped may still be on its way; none may come twice.
    let settled = Instant::now() + Duration::from_secs(2);
    while Instant::now() < settled {
        let some = provider.up_to(100, settled - Instant::now()).await.expect("receives");
        ledger.received_all(&some);
        provider.ack_all(&some).await;
    }
    ledger.check();
}

async fn broker_refusal_is_error(cx: &Context) {
    let broker = cx.connect().await;
    let (queue, publisher) = cx.small_queue(&*broker).await;
    let ledger = cx.ledger();
    let mut refusal = None;
    for i in 0..20 {
        let result = ledger.try_publish(&*publisher, &queue, [format!("m-{i}")]).await.remove(0);
        if let Err(error) = result {
            refusal = Some((i, error));
            break;
        }
    }
    let (taken, error) = refusal.expect("a queue for 3 messages took 20");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
    assert!(error.is_temporary() && taken >= 3, "a queue for 3 messages took {taken} and then said {error:?}");

    let provider = cx.provider(&*broker, &queue).await;
    ledger.received_all(&provider.take_acked(taken).await);
    let again = ledger.try_publish(&*publisher, &queue, ["room again"]).await.remove(0);
    again.expect("there is room again");
    ledger.received_all(&provider.take_acked(1).await);
    provider.nothing().await;
    ledger.check();
}
