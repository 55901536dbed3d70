//! Delays: of a publish, and of a retry.

use std::collections::HashMap;
use std::time::Duration;

use swarrot_core::topology::{Exchange, Topology};
use swarrot_core::{ErrorKind, Message, Outcome, Outgoing};
use tokio::time::{Instant, sleep};

use crate::run::{Case, Claim::Delay, Claim::Durable, Context, Fault::Restart, Need::Claimed, Need::Made, Setup, case};
use crate::support::{PATIENCE, ProviderActions as _, PublisherActions as _, bodies, ms, reconnected, secs, text};

const GROUP: &str = "delay";

pub(super) const CASES: &[Case] = &[
    case!(not_before).needs(&[Claimed(Delay)]),
    case!(within_tolerance).needs(&[Claimed(Delay)]),
    case!(short_after_long).needs(&[Claimed(Delay)]),
    case!(zero_is_immediate).needs(&[Claimed(Delay)]),
    case!(identical_twice).needs(&[Claimed(Delay)]),
    case!(survives_restart).needs(&[Claimed(Delay), Claimed(Durable), Made(Restart)]).faulty().limit(180),
    case!(over_max).needs(&[Claimed(Delay)]),
    case!(returns_to_one_queue_only).needs(&[Claimed(Delay)]),
    case!(redelay_10_times).needs(&[Claimed(Delay)]),
    case!(bounded_objects).needs(&[Claimed(Delay)]).faulty().limit(180),
    case!(ten_thousand_due_at_once).needs(&[Claimed(Delay)]).long().limit(180),
];

/// What a clock may be off by.
const CLOCK: Duration = ms(5);

fn delayed(queue: &str, body: impl Into<bytes::Bytes>, delay: Duration) -> Outgoing {
    Outgoing::new(queue, Message::new(body)).delay(delay)
}

/// When it is due at the latest: the step of the grid to which the backend rounds, and half a second.
fn latest(cx: &Context, delay: Duration) -> Duration {
    delay + delay * u32::from(cx.capabilities().delay_grid_percent) / 100 + cx.slack(ms(500))
}

async fn not_before(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let mut published = HashMap::new();
    for delay in [1500, 3, 200, 777, 1203, 40, 999, 501].map(ms) {
        published.insert(format!("{delay:?}"), (Instant::now(), delay));
        ledger.send(&*publisher, vec![delayed(&queue, format!("{delay:?}"), delay)]).await;
    }
    for _ in 0..published.len() {
        let delivery = provider.one_acked().await;
        let (at, delay) = published[&text(&delivery)];
        assert!(at.elapsed() + CLOCK >= delay, "held back for {delay:?}, it came after {:?}", at.elapsed());
        ledger.received(&delivery);
    }
    // A retry is held back like a publish.
    publisher.send_body(&queue, "retried").await;
    let delivery = provider.one().await;
    let at = Instant::now();
    provider.settle_one(&delivery, Outcome::retry(ms(800))).await;
    provider.one_acked().await;
    assert!(at.elapsed() + CLOCK >= ms(800), "retried after 800 ms, it came after {:?}", at.elapsed());
    provider.nothing().await;
    ledger.check();
}

async fn within_tolerance(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    // Once before, for whatever a first delay has to set up.
    publisher.send(delayed(&queue, "first", ms(10))).await;
    provider.one_acked().await;
    for delay in [100, 730, 1000, 2345].map(ms) {
        // The best of three tries: a busy machine may be late once.
        let mut best = Duration::MAX;
        for _ in 0..3 {
            publisher.send(delayed(&queue, "timed", delay)).await;
            let at = Instant::now();
            provider.one_acked().await;
            best = best.min(at.elapsed());
            if best <= latest(cx, delay) {
                break;
            }
        }
        assert!(best <= latest(cx, delay), "held back for {delay:?}, it came after {best:?}");
    }
}

async fn short_after_long(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send(delayed(&queue, "long", secs(5))).await;
    let at = Instant::now();
    publisher.send(delayed(&queue, "short", ms(300))).await;
    assert_eq!(text(&provider.one_acked().await), "short");
    assert!(at.elapsed() < secs(4), "a short delay waited {:?} behind a long one", at.elapsed());
    assert_eq!(text(&provider.one_acked().await), "long");
}

async fn zero_is_immediate(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send(delayed(&queue, "at once", Duration::ZERO)).await;
    let at = Instant::now();
    let delivery = provider.one().await;
    provider.settle_one(&delivery, Outcome::retry(Duration::ZERO)).await;
    let again = provider.one_acked().await;
    assert!(at.elapsed() <= cx.slack(secs(2)), "two deliveries without a delay took {:?}", at.elapsed());
    assert_eq!((text(&again).as_str(), again.attempt()), ("at once", 2));
    provider.nothing().await;
}

async fn identical_twice(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let twice = vec![delayed(&queue, "same", ms(300)), delayed(&queue, "same", ms(300))];
    cx.ledger().send(&*publisher, twice).await;
    let both = provider.take_acked(2).await;
    assert!(both.iter().all(|delivery| text(delivery) == "same"));
    provider.nothing().await;
}

async fn survives_restart(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let at = Instant::now();
    ledger.send(&*publisher, (0..10).map(|i| delayed(&queue, i.to_string(), secs(5))).collect()).await;
    cx.faulty().kill().await.expect("kills");
    cx.faulty().restart().await.expect("restarts");
    let back = reconnected(&*provider, 10).await;
    assert!(at.elapsed() + CLOCK >= secs(5), "held back for 5 s, they came after {:?}", at.elapsed());
    ledger.received_all(&back);
    provider.ack_all(&back).await;
    ledger.check();
}

async fn over_max(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let longest = cx.capabilities().max_delay.expect("the case needs delays");
    let Some(over) = longest.checked_add(secs(1)) else { return };
    let refused = publisher.try_send(delayed(&queue, "too late", over)).await;
    assert_eq!(refused.map_err(|e| e.kind()), Err(ErrorKind::Unsupported), "a delay over the longest one");
    publisher.send_body(&queue, "kept").await;
    let delivery = provider.one().await;
    let refused =
        provider.try_settle(&delivery, Outcome::retry(over)).await.expect_err("a retry over the longest delay");
    assert!(refused.is_all(ErrorKind::Unsupported), "{refused:?}");
    // It is still held, and may be settled otherwise.
    provider.settle_one(&delivery, Outcome::Requeue).await;
    assert_eq!(text(&provider.one_acked().await), "kept");
    provider.nothing().await;
}

async fn returns_to_one_queue_only(cx: &Context) {
    let broker = cx.connect().await;
    let (a, b, exchange) = (cx.queue_to_declare("a"), cx.queue_to_declare("b"), cx.name("x"));
    let (name_a, name_b) = (a.name.clone(), b.name.clone());
    let topology = Topology::new().exchange(Exchange::fanout(&exchange)).queue(a).queue(b);
    let topology = topology.bind(&exchange, &name_a, "").bind(&exchange, &name_b, "");
    cx.declare(&*broker, &topology).await;
    cx.publisher(&*broker, &exchange).await.send_body("key", "to both").await;
    let (from_a, from_b) = (cx.provider(&*broker, &name_a).await, cx.provider(&*broker, &name_b).await);
    from_b.one_acked().await;
    let delivery = from_a.one().await;
    for (attempt, after) in [(2, ms(200)), (3, Duration::ZERO)] {
        from_a.settle_one(&delivery_of(&*from_a, &delivery, attempt).await, Outcome::retry(after)).await;
    }
    let last = from_a.one_acked().await;
    assert_eq!((last.attempt(), last.exchange(), last.routing_key()), (3, exchange.as_str(), "key"));
    from_b.nothing().await;
}

/// The delivery of the attempt before this one: the first is at hand, later ones have to come.
async fn delivery_of(
    provider: &dyn swarrot_core::MessageProvider,
    first: &swarrot_core::Delivery,
    next_attempt: u32,
) -> swarrot_core::Delivery {
    if next_attempt == 2 { first.clone() } else { provider.one().await }
}

async fn redelay_10_times(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    publisher.send_body(&queue, "again and again").await;
    for attempt in 1..=10 {
        let delivery = provider.one().await;
        assert_eq!(delivery.attempt(), attempt);
        provider.settle_one(&delivery, Outcome::retry(ms(100))).await;
    }
    assert_eq!(provider.one_acked().await.attempt(), 11);
    provider.nothing().await;
}

async fn bounded_objects(cx: &Context) {
    // 1000 delays, hardly two alike, may not make a thousand objects: on a grid of two digits there are 90 for each
    // power of ten.
    const AT_MOST: usize = 200;
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let before = delay_objects(cx).await;
    // The second wave comes when everything of the first has expired; nothing may vanish with it.
    for (wave, pause) in [("first", secs(3)), ("second", Duration::ZERO)] {
        for batch in 0..10 {
            let outgoing = (0..100).map(|i| {
                let delay = ms(500 + fastrand::u64(0..2000));
                delayed(&queue, format!("{wave}-{batch}-{i}"), delay)
            });
            ledger.send(&*publisher, outgoing.collect()).await;
        }
        ledger.received_all(&provider.take_acked(1000).await);
        sleep(pause).await;
    }
    if let (Some(before), Some(after)) = (before, delay_objects(cx).await) {
        let made = after.saturating_sub(before);
        assert!(made <= AT_MOST, "2000 delays made {made} objects at the broker, from {before} to {after}");
    }
    provider.nothing().await;
    ledger.check();
}

/// Only a broker with no other traffic can tell.
async fn delay_objects(cx: &Context) -> Option<usize> {
    cx.faulty_if_any()?.delay_objects().await.expect("the broker tells")
}

async fn ten_thousand_due_at_once(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let ledger = cx.ledger();
    let due = Instant::now() + secs(8);
    for batch in bodies("m", 10_000).chunks(1000) {
        let rest = (due.saturating_duration_since(Instant::now())).max(ms(100));
        // To the same tenth of a second, on any grid.
        let rest = ms(u64::try_from(rest.as_millis()).expect("short").next_multiple_of(100));
        ledger.send(&*publisher, batch.iter().map(|body| delayed(&queue, body.clone(), rest)).collect()).await;
    }
    let deadline = Instant::now() + secs(10) + PATIENCE * 3;
    while ledger.outstanding() > 0 {
        assert!(Instant::now() < deadline, "10,000 due at once: {}", ledger.counts());
        let some = provider.up_to(100, secs(1)).await.expect("receives");
        ledger.received_all(&some);
        provider.ack_all(&some).await;
    }
    provider.nothing().await;
    assert_eq!(ledger.check().received, 10_000);
}
