//! What a backend does not claim it refuses, and does not do in some weaker way.
//!
//! To be durable, to keep the order, to requeue at a certain place and to be on a network are promises that nobody can
//! ask for in a call: they have no case here.

use std::time::Duration;

use swarrot_core::topology::{Queue, Topology};
use swarrot_core::{DeadLetter, ErrorKind, Message, MessageProvider, Outcome, Outgoing, ProviderOptions};
use tokio::time::sleep;

use crate::run::{Case, Claim, Context, Need::Unclaimed, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, ms, secs, text};

const GROUP: &str = "unclaimed";

pub(super) const CASES: &[Case] = &[
    case!(unroutable_is_no_error).needs(&[Unclaimed(Claim::Unroutable)]),
    case!(delivery_count_absent).needs(&[Unclaimed(Claim::DeliveryCount)]),
    case!(priority_refused).needs(&[Unclaimed(Claim::Priority)]),
    case!(ttl_refused).needs(&[Unclaimed(Claim::Ttl)]),
    case!(length_limit_refused).needs(&[Unclaimed(Claim::LengthLimit)]),
    case!(lease_never_ends).needs(&[Unclaimed(Claim::Lease)]),
    case!(browse_refused).needs(&[Unclaimed(Claim::Browse)]),
    case!(list_refused).needs(&[Unclaimed(Claim::List)]),
    case!(delay_refused).needs(&[Unclaimed(Claim::Delay)]),
    case!(dead_letter_refused).needs(&[Unclaimed(Claim::DeadLetter)]),
];

/// A backend that finds out could claim it.
async fn unroutable_is_no_error(cx: &Context) {
    let Setup { publisher, .. } = cx.setup().await;
    let missing = Outgoing::new(cx.name("missing"), Message::new("lost"));
    publisher.try_send(missing).await.expect("nobody can tell that no queue gets it");
}

async fn delivery_count_absent(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_body(&queue, "uncounted").await;
    for _ in 0..3 {
        let delivery = provider.one().await;
        assert_eq!(delivery.delivery_count(), None, "a count that is not claimed is not made up either");
        provider.settle_one(&delivery, Outcome::Requeue).await;
    }
}

/// A queue like this is refused, and not made without what it asks for.
async fn refused(cx: &Context, queue: Queue) {
    let broker = cx.connect().await;
    let name = queue.name.clone();
    let declared = cx.try_declare(&*broker, &Topology::new().queue(queue)).await;
    assert_eq!(declared.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    let made = broker.stats(&name).await;
    assert_eq!(made.map_err(|e| e.kind()).err(), Some(ErrorKind::NotFound), "it was refused, and made all the same");
}

async fn priority_refused(cx: &Context) {
    refused(cx, cx.queue_to_declare("q").max_priority(5)).await;
}

async fn length_limit_refused(cx: &Context) {
    refused(cx, cx.queue_to_declare("q").max_length(3)).await;
}

async fn ttl_refused(cx: &Context) {
    refused(cx, cx.queue_to_declare("expiring").message_ttl(secs(1))).await;
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let outgoing = Outgoing::new(&queue, Message::new("expiring").ttl(secs(1)));
    assert_eq!(publisher.try_send(outgoing).await.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    provider.nothing().await;
}

async fn lease_never_ends(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "held").await;
    let held = provider.one().await;
    let other = cx.provider(&*broker, &queue).await;
    sleep(ms(1500)).await;
    provider.extend(&[held.receipt()]).await.expect("it is held, and there is no lease to extend");
    other.nothing().await;
    provider.ack(&held).await;
}

async fn list_refused(cx: &Context) {
    let Setup { broker, .. } = cx.setup().await;
    let error = broker.queues().await.expect_err("it does not claim to know them");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

async fn browse_refused(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "unseen").await;
    let seen = broker.peek(&queue, 10.try_into().expect("not zero")).await;
    assert_eq!(seen.map_err(|e| e.kind()).err(), Some(ErrorKind::Unsupported));
    let delivery = provider.one_acked().await;
    assert!(!delivery.redelivered(), "a refused look took the message");
}

/// This outcome is refused, and the delivery is held as before.
async fn refuses(provider: &dyn MessageProvider, delivery: &swarrot_core::Delivery, outcome: Outcome) {
    let error = provider.try_settle(delivery, outcome).await.expect_err("it is not claimed");
    assert!(error.is_all(ErrorKind::Unsupported), "{error:?}");
    provider.settle_one(delivery, Outcome::Requeue).await;
    let again = provider.one_acked().await;
    assert_eq!(text(&again), text(delivery), "it comes back");
    provider.nothing().await;
}

async fn delay_refused(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let outgoing = Outgoing::new(&queue, Message::new("delayed")).delay(secs(1));
    assert_eq!(publisher.try_send(outgoing).await.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    provider.nothing().await;
    publisher.send(Outgoing::new(&queue, Message::new("at once")).delay(Duration::ZERO)).await;
    refuses(&*provider, &provider.one().await, Outcome::retry(secs(1))).await;
}

async fn dead_letter_refused(cx: &Context) {
    let parking = cx.harness().queue(&cx.name("parking")).dead_letter(DeadLetter::Park);
    refused(cx, parking).await;
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    provider.close().await.expect("closes");
    publisher.send_body(&queue, "kept").await;
    match broker.provider(&queue, ProviderOptions::default().dead_letter(DeadLetter::Park)).await {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}"),
        Ok(provider) => refuses(&*provider, &provider.one().await, Outcome::reject("hopeless")).await,
    }
}
