//! Batches: one result for each message, and each receipt on its own.

use std::collections::BTreeSet;
use std::time::Duration;

use swarrot_core::{ErrorKind, Message, Outcome, Outgoing, Receipt, Settlement};
use tokio::time::Instant;

use crate::run::{Case, Context, Setup, case};
use crate::support::{PATIENCE, ProviderActions as _, PublisherActions as _, bodies, ms, secs, text};

const GROUP: &str = "batch";

pub(super) const CASES: &[Case] =
    &[case!(publish_batch_all), case!(publish_batch_partial), case!(receive_batch_max_and_wait), case!(partial_settle)];

async fn publish_batch_all(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    assert!(publisher.publish(&[]).await.is_empty(), "an empty batch has no results");
    ledger.publish(&*publisher, &queue, bodies("large", 1000)).await;
    for size in 1..=12 {
        ledger.publish(&*publisher, &queue, bodies(&format!("of-{size}"), size)).await;
    }
    ledger.received_all(&provider.take_acked(1078).await);
    provider.nothing().await;
    ledger.check();
}

async fn publish_batch_partial(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let good = |i: usize| Outgoing::new(&queue, Message::new(format!("good-{i}")));
    let bad = |key: &str, message: Message, kind| (Outgoing::new(key, message), Some(kind));
    let mut batch = vec![
        (good(0), None),
        bad(&queue, Message::new("").header("too long", "v".repeat(9000)), ErrorKind::TooLarge),
        (good(1), None),
        bad(&queue, Message::new("").header("swarrot_retry_attempts", 9_i64), ErrorKind::InvalidInput),
        bad(&queue, Message::new("").header("x-death", "forged"), ErrorKind::InvalidInput),
        (good(2), None),
    ];
    if cx.capabilities().unroutable {
        batch.push(bad(&cx.name("missing"), Message::new("lost"), ErrorKind::Unroutable));
    }
    batch.push((good(3), None));
    let (outgoing, expected): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let results = publisher.publish(&outgoing).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(swarrot_core::Error::kind)).collect();
    assert_eq!(kinds, expected, "one result for each message, in order");
    let arrived: BTreeSet<String> = provider.take_acked(4).await.iter().map(text).collect();
    assert_eq!(arrived, bodies("good", 4).into_iter().collect());
    provider.nothing().await;
}

async fn receive_batch_max_and_wait(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    ledger.publish(&*publisher, &queue, bodies("m", 25)).await;
    let mut calls = 0;
    while ledger.outstanding() > 0 {
        let start = Instant::now();
        let some = provider.up_to(10, PATIENCE).await.expect("receives");
        assert!(!some.is_empty() && some.len() <= 10, "asked for up to 10, it got {}", some.len());
        // It waits for the first, not for the tenth: 25 is not a multiple of ten.
        assert!(start.elapsed() < secs(10), "it waited {:?} with messages at hand", start.elapsed());
        ledger.received_all(&some);
        provider.ack_all(&some).await;
        calls += 1;
    }
    assert!(calls >= 3, "25 messages came in {calls} calls of up to 10");
    assert!(provider.up_to(10, ms(100)).await.expect("receives").is_empty());
    ledger.check();
}

async fn partial_settle(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    provider.settle(&[]).await.expect("to settle nothing is no error");
    publisher.send_bodies(&queue, bodies("m", 6)).await;
    let taken = provider.take(6).await;
    let settled = taken[5].receipt();
    provider.ack(&taken[5]).await;
    let foreign = Receipt::new(u64::MAX, u64::MAX);
    let settle = |receipt, outcome| Settlement::new(receipt, outcome);
    let mixed = [
        settle(taken[0].receipt(), Outcome::Ack),
        settle(settled, Outcome::Ack),
        settle(taken[1].receipt(), Outcome::Ack),
        settle(foreign, Outcome::Requeue),
        settle(taken[2].receipt(), Outcome::retry(Duration::ZERO)),
    ];
    let error = provider.settle(&mixed).await.expect_err("two of the five are not held");
    let failed: BTreeSet<Receipt> = error.failures().iter().map(|(receipt, _)| *receipt).collect();
    assert_eq!(failed, BTreeSet::from([settled, foreign]), "{error:?}");
    assert!(error.is_all(ErrorKind::Stale), "{error:?}");
    provider.close().await.expect("closes");

    // Settled are the named ones alone: m-2 comes as its retry, m-3 and m-4 were not named.
    let other = cx.provider(&*broker, &queue).await;
    let rest: BTreeSet<(String, u32)> = other.take_acked(3).await.iter().map(|d| (text(d), d.attempt())).collect();
    let expected = [(2, 2), (3, 1), (4, 1)].map(|(i, attempt)| (text(&taken[i]), attempt));
    assert_eq!(rest, BTreeSet::from(expected));
    other.nothing().await;
}
