//! Priorities within a queue.

use std::sync::Arc;

use swarrot_core::topology::Topology;
use swarrot_core::{ErrorKind, Message, MessageProvider, MessagePublisher, Outgoing};

use crate::run::{Case, Claim::Ordered, Claim::Priority, Context, Need::Claimed, case};
use crate::support::{ProviderActions as _, PublisherActions as _, text};

const GROUP: &str = "priority";

pub(super) const CASES: &[Case] = &[
    case!(high_first).needs(&[Claimed(Priority)]),
    case!(equal_is_fifo).needs(&[Claimed(Priority), Claimed(Ordered)]),
    case!(out_of_range).needs(&[Claimed(Priority)]),
];

/// A queue with priorities up to 5, or to what there is, and its highest.
async fn setup(cx: &Context) -> (String, u8, Arc<dyn MessagePublisher>, Arc<dyn MessageProvider>) {
    let broker = cx.connect().await;
    let highest = cx.capabilities().max_priority.expect("the case needs priorities").min(5);
    let queue = cx.queue_to_declare("q").max_priority(highest);
    let name = queue.name.clone();
    cx.declare(&*broker, &Topology::new().queue(queue)).await;
    let publisher = cx.publisher(&*broker, "").await;
    // More would be fetched in the order in which it was ready at that moment.
    let provider = cx.provider_holding(&*broker, &name, 1).await;
    (name, highest, publisher, provider)
}

async fn high_first(cx: &Context) {
    let (queue, highest, publisher, provider) = setup(cx).await;
    let with = |priority: u8| Outgoing::new(&queue, Message::new(priority.to_string()).priority(priority));
    // From low to high and back, so that the order of arrival is not the answer.
    for priority in (0..=highest).chain((0..=highest).rev()) {
        publisher.send(with(priority)).await;
    }
    publisher.send_body(&queue, "0").await;
    let mut came = Vec::new();
    for _ in 0..=2 * (usize::from(highest) + 1) {
        let delivery = provider.one_acked().await;
        came.push(delivery.body()[0] - b'0');
    }
    let mut sorted = came.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(came, sorted, "higher ones come first; one without a priority has the lowest");
    provider.nothing().await;
}

async fn equal_is_fifo(cx: &Context) {
    let (queue, highest, publisher, provider) = setup(cx).await;
    for i in 0..50 {
        for priority in [highest, 0] {
            publisher.send(Outgoing::new(&queue, Message::new(format!("{priority}-{i}")).priority(priority))).await;
        }
    }
    for priority in [highest, 0] {
        for i in 0..50 {
            assert_eq!(text(&provider.one_acked().await), format!("{priority}-{i}"));
        }
    }
}

async fn out_of_range(cx: &Context) {
    let (queue, highest, publisher, provider) = setup(cx).await;
    publisher.send(Outgoing::new(&queue, Message::new("low").priority(0))).await;
    match publisher.try_send(Outgoing::new(&queue, Message::new("beyond").priority(u8::MAX))).await {
        // Treated as the highest that there is.
        Ok(()) => {
            publisher.send(Outgoing::new(&queue, Message::new("highest").priority(highest))).await;
            let came = [provider.one_acked().await, provider.one_acked().await].map(|d| text(&d));
            assert!(came.contains(&"beyond".to_owned()), "a priority beyond the highest counts as low: {came:?}");
        }
        Err(error) => {
            let typed = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported);
            assert!(typed, "{error:?}");
        }
    }
    assert_eq!(text(&provider.one_acked().await), "low");
    provider.nothing().await;
}
