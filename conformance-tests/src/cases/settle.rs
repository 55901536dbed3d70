//! Settling: what is acked is gone, what is not comes back, and a receipt is good once.

use std::sync::Arc;

use swarrot_core::topology::Topology;
use swarrot_core::{
    ConnectionState, DeadLetter, Delivery, ErrorKind, Outcome, ProviderOptions, Receipt, SettleError, Settlement,
    message::names,
};
use tokio::time::{Instant, sleep, timeout};

use crate::run::{Case, Claim::DeadLetter as DeadLetters, Context, Fault::Cut, Need::Claimed, Need::Made, Setup, case};
use crate::support::{
    PATIENCE, ProviderActions as _, PublisherActions as _, acked_or_stale, bodies, ms, reconnected, secs,
};

const GROUP: &str = "settle";

pub(super) const CASES: &[Case] = &[
    case!(ack_is_final),
    case!(double_ack),
    case!(ack_from_other_task),
    case!(ack_out_of_order),
    case!(reject_parks).needs(&[Claimed(DeadLetters)]),
    case!(unsettled_comes_back_on_close),
    case!(settle_after_close_errors),
    case!(stale_settle_after_reconnect).needs(&[Made(Cut)]).faulty().limit(90),
];

async fn ack_is_final(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    provider.take_acked(10).await;
    provider.nothing().await;
    broker.close().await.expect("closes");
    let broker = cx.connect().await;
    cx.provider(&*broker, &queue).await.nothing().await;
    assert_eq!(broker.stats(&queue).await.expect("stats").ready, 0);
}

async fn double_ack(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_bodies(&queue, ["first", "second"]).await;
    let [first, second] = <[_; 2]>::try_from(provider.take(2).await).expect("two");
    provider.ack(&first).await;
    let stale = |result: Result<(), SettleError>, receipt: Receipt| {
        let error = result.expect_err("a receipt is good once");
        assert!(error.is_all(ErrorKind::Stale), "a receipt that is not held any more is stale: {error:?}");
        assert_eq!(error.failures().iter().map(|(r, _)| *r).collect::<Vec<_>>(), [receipt]);
    };
    stale(provider.try_settle(&first, Outcome::Ack).await, first.receipt());
    stale(provider.try_settle(&first, Outcome::Requeue).await, first.receipt());
    stale(provider.extend(&[first.receipt(), second.receipt()]).await, first.receipt());
    // The provider survives, the other delivery is still its own, and the first stays gone.
    provider.ack(&second).await;
    publisher.send_body(&queue, "third").await;
    assert_eq!(provider.one_acked().await.body(), "third");
    provider.nothing().await;
}

async fn ack_from_other_task(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_bodies(&queue, bodies("m", 20)).await;
    let tasks: Vec<_> = provider
        .take(20)
        .await
        .into_iter()
        .map(|delivery| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { provider.ack(&delivery).await })
        })
        .collect();
    // A receive that waits at the same time is in nobody's way.
    assert!(provider.up_to(1, secs(1)).await.expect("receives").is_empty());
    for task in tasks {
        timeout(PATIENCE, task).await.expect("an ack does not hang").expect("the ack works");
    }
    provider.close().await.expect("closes");
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn ack_out_of_order(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let ledger = cx.ledger();
    publisher.send_bodies(&queue, bodies("m", 10)).await;
    let taken = provider.take(10).await;
    for i in [9, 2, 5, 3] {
        provider.ack(&taken[i]).await;
    }
    for i in [0, 1, 4, 6, 7, 8] {
        ledger.note_sent(taken[i].body().clone());
    }
    provider.close().await.expect("closes");
    let other = cx.provider(&*broker, &queue).await;
    ledger.received_all(&other.take_acked(6).await);
    other.nothing().await;
    ledger.check();
}

async fn reject_parks(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "hopeless").await;
    let delivery = provider.one().await;
    provider.settle_one(&delivery, Outcome::reject("no such address")).await;
    provider.nothing().await;
    let dead = cx.provider(&*broker, &names::dead_letter_queue(&queue)).await;
    let parked = dead.one_acked().await;
    assert_eq!((parked.body(), parked.id()), (delivery.body(), delivery.id()));
    let failure = parked.message().failure().expect("a parked message says why");
    assert_eq!(failure.reason.as_deref(), Some("no such address"));
    assert_eq!((failure.source_queue.as_deref(), failure.attempts), (Some(queue.as_str()), 1));
    provider.close().await.expect("closes");
    cx.provider(&*broker, &queue).await.nothing().await;

    // Where it is declared so, a rejected message is dropped instead.
    let dropping = cx.queue_to_declare("dropping").dead_letter(DeadLetter::Drop);
    let queue = dropping.name.clone();
    cx.declare(&*broker, &Topology::new().queue(dropping)).await;
    let options = ProviderOptions::default().dead_letter(DeadLetter::Drop);
    let provider = cx.provider_with(&*broker, &queue, options).await;
    publisher.send_bodies(&queue, ["dropped", "kept"]).await;
    let [dropped, kept] = <[_; 2]>::try_from(provider.take(2).await).expect("two");
    provider.settle_one(&dropped, Outcome::reject("away with it")).await;
    provider.close().await.expect("closes");
    let other = cx.provider(&*broker, &queue).await;
    assert_eq!(other.one_acked().await.body(), kept.body());
    other.nothing().await;
    let nowhere = broker.stats(&names::dead_letter_queue(&queue)).await.map_err(|e| e.kind());
    assert_eq!(nowhere, Err(ErrorKind::NotFound), "a queue that drops has no dead-letter queue");
}

async fn unsettled_comes_back_on_close(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("m", 10)).await;
    // Some are handed out, others at most fetched in advance: all go back.
    provider.take(3).await;
    provider.close().await.expect("closes");
    let closed = Instant::now();
    let other = cx.provider(&*broker, &queue).await;
    ledger.received_all(&other.take_acked(10).await);
    let lease = cx.capabilities().lease;
    let in_time = lease.is_none_or(|lease| closed.elapsed() < lease);
    assert!(in_time, "it was not given back: it came only when its lease of {lease:?} had ended");
    other.nothing().await;
    ledger.check();
}

async fn settle_after_close_errors(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "unsettled").await;
    let delivery = provider.one().await;
    provider.close().await.expect("closes");
    for outcome in [Outcome::Ack, Outcome::Requeue, Outcome::Release] {
        let settled = timeout(secs(5), provider.try_settle(&delivery, outcome)).await;
        let error = settled.expect("a closed provider answers at once").expect_err("closed");
        assert!(error.is_all(ErrorKind::Closed), "{error:?}");
    }
    let received = timeout(secs(5), provider.up_to(1, secs(30))).await.expect("a closed provider answers at once");
    assert_eq!(received.map_err(|e| e.kind()).err(), Some(ErrorKind::Closed));
    let other = cx.provider(&*broker, &queue).await;
    assert_eq!(other.one_acked().await.body(), "unsettled");
}

async fn stale_settle_after_reconnect(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_bodies(&queue, ["first", "second"]).await;
    let before = provider.take(2).await;
    cx.faulty().cut().await.expect("cuts");
    // Until it has noticed, what is settled goes out on the broken connection, and nobody can tell that it was in vain.
    let noticed = async {
        while provider.connection() == ConnectionState::Connected {
            sleep(ms(20)).await;
        }
    };
    timeout(PATIENCE, noticed).await.expect("the provider notices that its connection is gone");
    cx.faulty().heal().await.expect("heals");
    let receipts = before.iter().map(Delivery::receipt).collect::<Vec<_>>();
    let (_, stale) = acked_or_stale(&*provider, before).await;
    // What is stale comes back, to the same provider on its new connection.
    let mut again = reconnected(&*provider, stale.len()).await;
    again.sort_by_key(|delivery| delivery.body().clone());
    assert!(again.iter().map(Delivery::body).eq(stale.iter().map(Delivery::body)), "{again:?} came, stale: {stale:?}");
    for outcome in [Outcome::Ack, Outcome::Requeue] {
        let stale: Vec<_> = receipts.iter().map(|r| Settlement::new(*r, outcome.clone())).collect();
        let error = provider.settle(&stale).await.expect_err("receipts from before the cut");
        assert!(error.is_all(ErrorKind::Stale), "{error:?}");
        assert_eq!(error.failures().len(), 2);
    }
    let error = provider.extend(&receipts).await.expect_err("they are held no more");
    assert!(error.is_all(ErrorKind::Stale), "{error:?}");
    // Nothing was sent for them: the new connection is fine, and so are the receipts of now.
    provider.ack_all(&again).await;
    publisher.send_body(&queue, "third").await;
    assert_eq!(reconnected(&*provider, 1).await[0].body(), "third");
}
