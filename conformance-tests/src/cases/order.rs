//! Order.

use futures_util::future::join_all;
use std::collections::HashMap;
use std::time::Duration;

use swarrot_core::{Outcome, RequeuePosition};

use crate::run::{Case, Claim::Ordered, Context, Need::Claimed, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, bodies, text};

const GROUP: &str = "order";

pub(super) const CASES: &[Case] = &[
    case!(fifo_1000).needs(&[Claimed(Ordered)]),
    case!(fifo_per_publisher).needs(&[Claimed(Ordered)]),
    case!(prefetch_1_blocks),
    case!(requeue_position),
];

async fn fifo_1000(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let sent = bodies("m", 1000);
    // Batches of every size, so that the seams between them are tried as well.
    let mut rest = sent.as_slice();
    for size in (1..).take_while(|size| size * (size - 1) / 2 < 1000) {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        publisher.send_bodies(&queue, batch.to_vec()).await;
        rest = after;
    }
    let received: Vec<String> = provider.take_acked(1000).await.iter().map(text).collect();
    let first_wrong = received.iter().zip(&sent).position(|(received, sent)| received != sent);
    assert_eq!(first_wrong, None, "from there on: {:?}", first_wrong.map(|i| &received[i..(i + 5).min(1000)]));
}

async fn fifo_per_publisher(cx: &Context) {
    let Setup { broker, queue, provider, .. } = cx.setup().await;
    let mut tasks = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let publisher = cx.publisher(&*broker, "").await;
        let queue = queue.clone();
        tasks.push(tokio::spawn(async move {
            for batch in bodies(name, 250).chunks(10) {
                publisher.send_bodies(&queue, batch.to_vec()).await;
            }
        }));
    }
    let received = provider.take_acked(1000).await;
    join_all(tasks).await.into_iter().for_each(|task| task.expect("publishes"));
    let mut next = HashMap::<String, usize>::new();
    for body in received.iter().map(text) {
        let (publisher, number) = body.split_once('-').expect("a name and a number");
        let expected = next.entry(publisher.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of publisher {publisher}");
        *expected += 1;
    }
    provider.nothing().await;
}

async fn prefetch_1_blocks(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    cx.publisher(&*broker, "").await.send_bodies(&queue, bodies("m", 5)).await;
    let provider = cx.provider_holding(&*broker, &queue, 1).await;
    for i in 0..5 {
        let delivery = provider.one().await;
        if cx.capabilities().ordered {
            assert_eq!(text(&delivery), format!("m-{i}"));
        }
        // Two that wait at once get nothing either.
        let (a, b) = tokio::join!(provider.up_to(5, Duration::from_millis(200)), provider.up_to(5, Duration::ZERO));
        assert!(a.expect("receives").is_empty() && b.expect("receives").is_empty(), "something came before the ack");
        provider.ack(&delivery).await;
    }
    provider.nothing().await;
}

async fn requeue_position(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    cx.publisher(&*broker, "").await.send_bodies(&queue, ["a", "b", "c", "d"]).await;
    let provider = cx.provider_holding(&*broker, &queue, 1).await;
    let first = provider.one().await;
    let name = text(&first);
    provider.settle_one(&first, Outcome::Requeue).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(text(&provider.one_acked().await));
    }
    provider.nothing().await;
    let place = order.iter().position(|body| *body == name);
    match cx.capabilities().requeue_position {
        RequeuePosition::Head => assert_eq!(place, Some(0), "{name} was requeued; then came {order:?}"),
        RequeuePosition::Tail => assert_eq!(place, Some(3), "{name} was requeued; then came {order:?}"),
        // No promise, but nothing is lost.
        _ => assert!(place.is_some(), "{name} was requeued; then came {order:?}"),
    }
    order.sort();
    assert_eq!(order, ["a", "b", "c", "d"]);
}
