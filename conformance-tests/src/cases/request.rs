//! Requests and their replies, through the contract alone.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use swarrot_core::message::names;
use swarrot_core::topology::Topology;
use swarrot_core::{
    Broker, DeadLetter, Delivery, ErrorKind, Message, MessageProvider, MessagePublisher, Outcome, Outgoing,
    ReplyErrors, RequestError, Requester, RequesterOptions, Worker, reply,
};
use tokio::time::{Instant, sleep};

use crate::run::{Case, Claim::Ttl, Claim::Unroutable, Context, Fault::Cut, Need::Claimed, Need::Made, Setup, case};
use crate::support::{PATIENCE, ProviderActions as _, Running, ms, secs, text};

const GROUP: &str = "request";

pub(super) const CASES: &[Case] = &[
    case!(each_gets_its_own_reply),
    case!(late_reply_dropped),
    case!(error_replied),
    case!(unroutable_request_fails).needs(&[Claimed(Unroutable)]),
    case!(reply_to_nobody_is_acked).needs(&[Claimed(Unroutable)]),
    case!(request_expires).needs(&[Claimed(Ttl)]),
    case!(requester_deletes_its_queue),
    case!(named_reply_queue_stays),
    case!(requests_outlive_a_cut).needs(&[Made(Cut)]).faulty().dup().limit(120),
];

/// A requester that is patient, on a connection of its own.
async fn requester(cx: &Context, options: RequesterOptions) -> Requester {
    Requester::new(cx.connect().await, options).await.expect("a requester")
}

fn patient() -> RequesterOptions {
    RequesterOptions::default().timeout(PATIENCE)
}

fn ask(queue: &str, body: impl Into<String>) -> Outgoing {
    Outgoing::new(queue, Message::new(body.into()))
}

/// Answers in capitals, after a pause for those that say so.
async fn shout(delivery: Delivery) -> Result<String, &'static str> {
    let body = text(&delivery);
    if let Some(pause) = body.strip_prefix("wait ").and_then(|millis| millis.parse().ok()) {
        sleep(ms(pause)).await;
    }
    if body == "fail" { Err("no shouting") } else { Ok(body.to_uppercase()) }
}

/// A worker that answers what comes from this provider.
fn serve(provider: Arc<dyn MessageProvider>, publisher: &Arc<dyn MessagePublisher>) -> Running {
    let worker = Worker::new(provider).concurrency(20).signals_off();
    let worker = worker.layer(ReplyErrors::new(Arc::clone(publisher)));
    Running::start(worker.handle(), worker.run(reply(Arc::clone(publisher), shout)))
}

async fn each_gets_its_own_reply(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let running = serve(provider, &publisher);
    let requester = requester(cx, patient()).await;
    // The first ones are answered last.
    let one = |i: u64| requester.request(ask(&queue, format!("wait {}", 300 - 10 * i)));
    let replies = join_all((0..30).map(one)).await;
    for (i, reply) in (0..30).zip(replies) {
        let reply = reply.unwrap_or_else(|error| panic!("request {i}: {error:?}"));
        assert_eq!(reply.body, format!("WAIT {}", 300 - 10 * i));
    }
    assert_eq!(running.stop().await.counts.acked, 30);
    requester.close().await.expect("closes");
}

async fn late_reply_dropped(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    let running = serve(provider, &publisher);
    let requester = requester(cx, patient()).await;
    // The worker needs it once, so that what follows is not about how long it takes to get going.
    requester.request(ask(&queue, "warm up")).await.expect("a reply");
    let start = Instant::now();
    let late = requester.request_within(ms(500), ask(&queue, "wait 1500")).await;
    assert!(matches!(late, Err(RequestError::Timeout(after)) if after == ms(500)), "{late:?}");
    assert!(start.elapsed() < cx.slack(secs(5)), "it took {:?}", start.elapsed());
    let next = requester.request(ask(&queue, "wait 2500")).await.expect("its own reply");
    assert_eq!(next.body, "WAIT 2500", "not the late one, which came meanwhile");
    running.stop().await;
    requester.close().await.expect("closes");
}

async fn error_replied(cx: &Context) {
    let Setup { queue, publisher, provider, .. } = cx.setup().await;
    // Without dead letters a message that is given up on is dropped.
    let worker = Worker::new(provider).signals_off().on_error(|_, _| Outcome::Ack);
    let worker = worker.layer(ReplyErrors::new(Arc::clone(&publisher)));
    let running = Running::start(worker.handle(), worker.run(reply(publisher, shout)));
    let requester = requester(cx, patient()).await;
    match requester.request(ask(&queue, "fail")).await {
        Err(RequestError::Failed(reply)) => assert_eq!(reply.body, "no shouting"),
        other => panic!("an error reply, not {other:?}"),
    }
    running.stop().await;
    requester.close().await.expect("closes");
}

async fn unroutable_request_fails(cx: &Context) {
    let requester = requester(cx, patient()).await;
    let start = Instant::now();
    match requester.request(ask(&cx.name("missing"), "x")).await {
        Err(RequestError::Publish(error)) => assert_eq!(error.kind(), ErrorKind::Unroutable, "{error:?}"),
        other => panic!("nobody would get it: {other:?}"),
    }
    assert!(start.elapsed() < cx.slack(secs(10)), "it took {:?}", start.elapsed());
    requester.close().await.expect("closes");
}

async fn reply_to_nobody_is_acked(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let orphan = Message::new("x").reply_to(cx.name("gone")).correlation_id("c");
    publisher.publish(&[Outgoing::new(&queue, orphan)]).await.remove(0).expect("publishes");
    let worker = Worker::new(provider).signals_off().max_messages(1);
    let running = Running::start(worker.handle(), worker.run(reply(publisher, shout)));
    let counts = running.ends().await.counts;
    assert_eq!((counts.acked, counts.errors), (1, 0), "{counts:?}");
    cx.provider(&*broker, &queue).await.nothing().await;
}

async fn request_expires(cx: &Context) {
    let Setup { queue, provider, .. } = cx.setup().await;
    let requester = requester(cx, patient()).await;
    requester.request_within(ms(700), ask(&queue, "nobody is there")).await.expect_err("nobody answers");
    sleep(ms(500)).await;
    provider.nothing().await;
    requester.close().await.expect("closes");
}

async fn requester_deletes_its_queue(cx: &Context) {
    let broker = cx.connect().await;
    let (requester, other) = (requester(cx, patient()).await, requester(cx, patient()).await);
    assert_ne!(requester.reply_queue(), other.reply_queue());
    broker.stats(requester.reply_queue()).await.expect("it is there");
    let waiting = requester.request_within(Duration::MAX, ask(other.reply_queue(), "nobody answers there"));
    let close = async {
        sleep(ms(300)).await;
        requester.close().await.expect("closes");
    };
    let (ended, ()) = tokio::join!(waiting, close);
    assert!(matches!(ended, Err(RequestError::Closed)), "{ended:?}");
    let gone = broker.stats(requester.reply_queue()).await;
    assert_eq!(gone.map_err(|error| error.kind()).err(), Some(ErrorKind::NotFound));
    other.close().await.expect("closes");
}

async fn named_reply_queue_stays(cx: &Context) {
    let Setup { broker, queue, publisher, provider } = cx.setup().await;
    let running = serve(provider, &publisher);
    let replies = cx.queue_to_declare("replies").dead_letter(DeadLetter::Drop);
    // Declared here, so that it is deleted when the case ends.
    cx.declare(&*broker, &Topology::new().queue(replies.clone())).await;
    let options = || patient().reply_queue(replies.clone()).max_pending(NonZeroUsize::new(5).expect("not zero"));
    let first = requester(cx, options()).await;
    assert_eq!(first.request(ask(&queue, "one")).await.expect("a reply").body, "ONE");
    first.close().await.expect("closes");
    // What an earlier process did not wait for is nobody's, and is not in the way.
    let stray = Message::new("stray").correlation_id("of another life");
    publisher.publish(&[Outgoing::new(&replies.name, stray)]).await.remove(0).expect("publishes");
    let second = requester(cx, options()).await;
    let many = join_all((0..20).map(|i| second.request(ask(&queue, format!("m{i}"))))).await;
    for (i, reply) in many.into_iter().enumerate() {
        assert_eq!(reply.expect("a reply").body, format!("M{i}"));
    }
    second.close().await.expect("closes");
    running.stop().await;
    let left = cx.provider(&*broker, &replies.name).await;
    left.nothing().await;
}

async fn requests_outlive_a_cut(cx: &Context) {
    let broker: Arc<dyn Broker> = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    let publisher = cx.publisher(&*broker, "").await;
    let running = serve(cx.provider(&*broker, &queue).await, &publisher);
    let requester = requester(cx, patient().timeout(PATIENCE * 3)).await;
    requester.request(ask(&queue, "before")).await.expect("a reply");
    let during = join_all((0..10).map(|i| requester.request(ask(&queue, format!("wait {}", 200 * i)))));
    let cut = async {
        sleep(ms(500)).await;
        cx.faulty().cut().await.expect("cuts");
        sleep(ms(300)).await;
        cx.faulty().heal().await.expect("heals");
    };
    let (during, ()) = tokio::join!(during, cut);
    for (i, reply) in during.into_iter().enumerate() {
        let reply = reply.unwrap_or_else(|error| panic!("request {i}: {error:?}"));
        assert_eq!(reply.body, format!("WAIT {}", 200 * i));
        assert!(!reply.headers.contains(names::REPLY_ERROR));
    }
    assert_eq!(requester.request(ask(&queue, "after")).await.expect("a reply").body, "AFTER");
    running.stop().await;
    requester.close().await.expect("closes");
}
