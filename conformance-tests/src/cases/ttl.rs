//! Messages that expire.

use swarrot_core::message::names;
use swarrot_core::topology::Topology;
use swarrot_core::{DeadLetter, Message, Outgoing};
use tokio::time::sleep;

use crate::run::{Case, Claim::DeadLetter as DeadLetters, Claim::Ttl, Context, Need::Claimed, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, ms, secs, text};

const GROUP: &str = "time_to_live";

pub(super) const CASES: &[Case] = &[
    case!(expired_skipped).needs(&[Claimed(Ttl)]),
    case!(nearly_expired_delivered).needs(&[Claimed(Ttl)]),
    case!(expired_to_dead_letter).needs(&[Claimed(Ttl), Claimed(DeadLetters)]),
];

async fn expired_skipped(cx: &Context) {
    let broker = cx.connect().await;
    let own = cx.queue_to_declare("own").dead_letter(DeadLetter::Drop);
    let by_queue = cx.queue_to_declare("by-queue").dead_letter(DeadLetter::Drop).message_ttl(ms(300));
    let (own_name, by_queue_name) = (own.name.clone(), by_queue.name.clone());
    cx.declare(&*broker, &Topology::new().queue(own).queue(by_queue)).await;
    let publisher = cx.publisher(&*broker, "").await;
    publisher.send(Outgoing::new(&own_name, Message::new("expired").ttl(ms(300)))).await;
    publisher.send_body(&own_name, "for ever").await;
    publisher.send_body(&by_queue_name, "expired too").await;
    sleep(ms(900)).await;
    let provider = cx.provider(&*broker, &own_name).await;
    assert_eq!(text(&provider.one_acked().await), "for ever");
    provider.nothing().await;
    cx.provider(&*broker, &by_queue_name).await.nothing().await;
}

async fn nearly_expired_delivered(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send(Outgoing::new(&queue, Message::new("in time").ttl(secs(20)))).await;
    sleep(ms(300)).await;
    let delivery = provider.one_acked().await;
    assert_eq!(text(&delivery), "in time");
    assert!(delivery.message().properties.ttl.is_some(), "the time to live is part of what was published");
}

async fn expired_to_dead_letter(cx: &Context) {
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    let publisher = cx.publisher(&*broker, "").await;
    publisher.send(Outgoing::new(&queue, Message::new("too late").id("the-id").ttl(ms(300)))).await;
    let dead = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await;
    let parked = dead.one_acked().await;
    assert_eq!((text(&parked).as_str(), parked.id()), ("too late", "the-id"));
    let failure = parked.message().failure().expect("a parked message says why");
    let reason = failure.reason.unwrap_or_default();
    assert!(reason.contains("expired"), "the reason is {reason:?}");
    assert_eq!(failure.source_queue.as_deref(), Some(queue.as_str()));
    cx.provider(&*broker, &queue).await.nothing().await;
}
