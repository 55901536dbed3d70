//! Dead letters: after how many attempts, what they say, and how they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use swarrot_core::layer::Retry;
use swarrot_core::message::{Failure, names};
use swarrot_core::{
    Attempt, BoxError, Broker, Delivery, ErrorKind, Message, MessageProvider, Outcome, Outgoing, Permanent, Reason,
    Worker, unix_time,
};

use crate::run::{Case, Claim::DeadLetter, Claim::Delay, Context, Need::Claimed, Setup, case};
use crate::support::{ProviderActions as _, PublisherActions as _, Running, ms, text};

const GROUP: &str = "dead_letter";

pub(super) const CASES: &[Case] = &[
    case!(exact_attempts).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(carries_reason).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(permanent_error_skips_retries).needs(&[Claimed(DeadLetter), Claimed(Delay)]),
    case!(park_failure_keeps_original).needs(&[Claimed(DeadLetter)]),
    case!(redrive).needs(&[Claimed(DeadLetter)]),
    case!(huge_error_truncated).needs(&[Claimed(DeadLetter)]),
];

/// A provider of a queue's dead letters.
async fn dead_letters(cx: &Context, broker: &dyn Broker, queue: &str) -> Arc<dyn MessageProvider> {
    cx.provider(broker, &names::dead_letter_queue(queue)).await
}

/// What a parked message says about its failures.
#[track_caller]
fn failure(parked: &Delivery) -> Failure {
    parked.message().failure().unwrap_or_else(|| panic!("a parked message says why: {parked:?}"))
}

#[derive(Debug)]
struct Sending(std::io::Error);

impl std::fmt::Display for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sending failed")
    }
}

impl std::error::Error for Sending {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn exact_attempts(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "hopeless").await;
    let attempts = Arc::new(AtomicU32::new(0));
    let worker = Worker::new(provider).layer(Retry::fixed(ms(100)).attempts(3)).signals_off();
    let running = {
        let attempts = Arc::clone(&attempts);
        Running::start(
            worker.handle(),
            worker.run(move |attempt: Attempt| {
                let attempts = Arc::clone(&attempts);
                async move {
                    let so_far = attempts.fetch_add(1, Ordering::SeqCst) + 1;
                    assert_eq!(attempt.0, so_far, "the attempt that the handler sees");
                    Err::<(), BoxError>("451 busy".into())
                }
            }),
        )
    };
    let parked = dead_letters(cx, &*broker, &queue).await.one_acked().await;
    let report = running.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 3, "with three attempts");
    assert_eq!((report.counts.retried, report.counts.rejected, report.counts.panics), (2, 1, 0), "{report}");
    assert_eq!((text(&parked).as_str(), failure(&parked).attempts), ("hopeless", 3));
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn carries_reason(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let start = unix_time();
    publisher.send(Outgoing::new(&queue, Message::new("mail").id("the-id").header("own", "stays"))).await;
    let worker = Worker::new(provider).layer(Retry::fixed(ms(1200)).attempts(2)).signals_off();
    let running = Running::start(
        worker.handle(),
        worker.run(|_: Delivery| async { Err::<(), BoxError>(Sending(std::io::Error::other("451 busy")).into()) }),
    );
    let parked = dead_letters(cx, &*broker, &queue).await.one_acked().await;
    running.stop().await;
    assert_eq!((text(&parked).as_str(), parked.id()), ("mail", "the-id"));
    assert_eq!(parked.headers().get("own"), Some(&"stays".into()));
    let failure = failure(&parked);
    assert_eq!(failure.reason.as_deref(), Some("sending failed: 451 busy"), "the error with its source");
    assert_eq!((failure.source_queue.as_deref(), failure.attempts), (Some(queue.as_str()), 2));
    let (first, last) = (failure.first_at.expect("when first"), failure.last_at.expect("when last"));
    let end = unix_time();
    assert!(start <= first && first < last && last <= end, "{start} <= {first} < {last} <= {end}");
}

async fn permanent_error_skips_retries(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "malformed").await;
    let worker = Worker::new(provider).layer(Retry::fixed(ms(100)).attempts(5)).signals_off();
    let running = Running::start(
        worker.handle(),
        worker.run(|_: Delivery| async { Err::<(), BoxError>(Permanent::new("not a mail address").into()) }),
    );
    let parked = dead_letters(cx, &*broker, &queue).await.one_acked().await;
    let report = running.stop().await;
    assert_eq!((report.counts.handled, report.counts.retried), (1, 0), "{report}");
    let failure = failure(&parked);
    assert_eq!((failure.reason.as_deref(), failure.attempts), (Some("not a mail address"), 1));
}

async fn park_failure_keeps_original(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "kept").await;
    let delivery = provider.one().await;
    let dead = names::dead_letter_queue(&queue);
    cx.connect().await.delete(&dead).await.expect("the dead-letter queue is deleted behind the provider's back");
    let found = match provider.try_settle(&delivery, Outcome::reject("hopeless")).await {
        // Not parked, so it is still here: held by this provider, and free when that one closes.
        Err(error) => {
            assert!(!error.is_all(ErrorKind::Stale), "it is still held: {error:?}");
            provider.close().await.expect("closes");
            queue.clone()
        }
        // A backend may mend it: then it is parked.
        Ok(()) => dead,
    };
    assert_eq!(text(&cx.provider(&*broker, &found).await.one_acked().await), "kept");
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn redrive(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send(Outgoing::new(&queue, Message::new("second chance").id("the-id").header("own", 1_i64))).await;
    let first = provider.one().await;
    provider.settle_one(&first, Outcome::Retry { after: Duration::ZERO, reason: Some("busy".into()) }).await;
    let second = provider.one().await;
    provider.settle_one(&second, Outcome::reject("gave up")).await;

    let dead = dead_letters(cx, &*broker, &queue).await;
    let parked = dead.one().await;
    assert_eq!(failure(&parked).attempts, 2);
    publisher.send(Outgoing::redrive(&parked).expect("it says where it came from")).await;
    dead.ack(&parked).await;

    let back = provider.one_acked().await;
    assert_eq!((text(&back).as_str(), back.id()), ("second chance", "the-id"));
    assert_eq!(back.headers().get("own"), Some(&1_i64.into()));
    assert_eq!(back.attempt(), 1, "a redriven message begins anew");
    let history = back.message().failure().expect("its history is kept");
    assert_eq!(history.reason.as_deref(), Some("gave up"));
    assert_eq!(history.first_at, failure(&parked).first_at);
    dead.nothing().await;
    provider.nothing().await;
}

async fn huge_error_truncated(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    publisher.send_body(&queue, "with a huge error").await;
    let delivery = provider.one().await;
    provider.settle_one(&delivery, Outcome::reject("€".repeat(1 << 19))).await;
    let parked = dead_letters(cx, &*broker, &queue).await.one_acked().await;
    let reason = failure(&parked).reason.expect("a reason");
    assert!(reason.starts_with("€€€") && reason.len() <= Reason::MAX_LEN, "{} bytes", reason.len());
    assert_eq!(text(&parked), "with a huge error");
}
