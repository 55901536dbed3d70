//! Requests and replies.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Bench, QUEUE, Seen};
use swarrot::message::names;
use swarrot::prelude::*;
use swarrot::{IntoHandler, ReplyErrors, RequestError, Requester, RequesterOptions, Router, StopReason, reply};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn requester(bench: &Bench) -> Requester {
    Requester::new(Arc::clone(&bench.broker), RequesterOptions::default()).await.unwrap()
}

fn ask(body: impl Into<String>) -> Outgoing {
    Outgoing::new(QUEUE, Message::new(body.into()))
}

/// A worker that runs until it is dropped.
macro_rules! serve {
    ($bench:expr, $handler:expr) => {{
        let worker = $bench.worker().await.concurrency(10);
        let handle = worker.handle();
        (handle, tokio::spawn(worker.run($handler)))
    }};
}

async fn double(Json(number): Json<i64>, State(seen): State<Seen>) -> Result<Json<i64>, BoxError> {
    seen.note(number.to_string());
    // The larger the later.
    sleep(Duration::from_millis(number.unsigned_abs())).await;
    Ok(Json(number.checked_mul(2).ok_or_else(|| Permanent::new("too large"))?))
}

#[tokio::test(start_paused = true)]
async fn each_of_many_gets_its_own_reply() {
    let bench = Bench::new().await;
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), double));
    let requester = requester(&bench).await;
    let one = |number: i64| {
        let requester = requester.clone();
        async move { requester.request_json::<_, i64>(QUEUE, &number).await.unwrap() }
    };
    let doubled = futures_util::future::join_all((0..50).rev().map(one)).await;
    assert_eq!(doubled, (0..50).rev().map(|number| number * 2).collect::<Vec<_>>());
    assert_eq!(requester.pending(), 0);
    let stats = bench.broker.stats(requester.reply_queue()).await.unwrap();
    assert_eq!((stats.ready, stats.unsettled), (0, Some(0)), "replies are acked");
}

#[tokio::test(start_paused = true)]
async fn without_a_reply_it_ends_in_time_and_a_late_one_is_dropped() {
    let bench = Bench::new().await;
    let slow = async |body: String| {
        sleep(if body == "slow" { 30 * SECOND } else { Duration::ZERO }).await;
        body
    };
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), slow));
    let requester = requester(&bench).await;
    let start = Instant::now();
    let error = requester.request(ask("slow")).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout(after) if after == 10 * SECOND), "{error:?}");
    assert_eq!((start.elapsed(), error.to_string().as_str()), (10 * SECOND, "no reply within 10s"));
    let shorter = requester.request_within(2 * SECOND, ask("slow")).await.unwrap_err();
    assert_eq!((start.elapsed().as_secs(), shorter.to_string().as_str()), (12, "no reply within 2s"));
    // The late replies come at 30 s and 40 s, and are not taken for others.
    sleep(60 * SECOND).await;
    assert_eq!(requester.request(ask("quick")).await.unwrap().body, "quick");
    assert_eq!(bench.broker.stats(requester.reply_queue()).await.unwrap().ready, 0);
    assert_eq!(requester.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_expired_request() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    requester.request(ask("never handled")).await.unwrap_err();
    let (handle, running) = serve!(bench, reply(Arc::clone(&bench.publisher), double));
    sleep(SECOND).await;
    handle.stop();
    running.await.unwrap().unwrap();
    assert_eq!(bench.seen.len(), 0, "it expired with its requester's patience");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_fails_at_once() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let error = requester.request(Outgoing::new("missing", Message::new(""))).await.unwrap_err();
    let RequestError::Publish(source) = &error else { panic!("{error:?}") };
    assert_eq!((source.kind(), error.to_string().as_str()), (ErrorKind::Unroutable, "the request was not published"));
    let error = requester.request(ask("").message_header_of_ours()).await.unwrap_err();
    assert!(matches!(&error, RequestError::Publish(e) if e.kind() == ErrorKind::InvalidInput), "{error:?}");
}

trait Forged {
    fn message_header_of_ours(self) -> Self;
}

impl Forged for Outgoing {
    fn message_header_of_ours(mut self) -> Self {
        self.message.headers.insert(names::REPLY_ERROR, true);
        self
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_answered_if_asked_for() {
    let bench = Bench::new().await;
    let publisher = Arc::clone(&bench.publisher);
    let worker = bench.worker().await.layer(ReplyErrors::new(Arc::clone(&publisher))).layer(Retry::fixed(SECOND));
    let picky = async |body: String, Attempt(attempt): Attempt| match body.as_str() {
        "reject" => Err(Permanent::new(std::io::Error::other("we do not do that")).into()),
        "retry" if attempt < 3 => Err("not yet".into()),
        body => Ok::<_, BoxError>(format!("{body} {attempt}")),
    };
    let _running = tokio::spawn(worker.run(reply(publisher, picky)));
    let requester = requester(&bench).await;
    let error = requester.request(ask("reject")).await.unwrap_err();
    let RequestError::Failed(message) = &error else { panic!("{error:?}") };
    assert_eq!(
        (error.to_string().as_str(), &message.body[..]),
        ("the request failed: we do not do that", &b"we do not do that"[..])
    );
    // It is parked all the same.
    assert_eq!(bench.parked().await.len(), 1);
    assert_eq!(
        requester.request(ask("retry")).await.unwrap().body,
        "retry 3",
        "failures that are retried are not told"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_a_failure_too() {
    let bench = Bench::new().await;
    let worker = bench.worker().await.layer(ReplyErrors::new(Arc::clone(&bench.publisher)));
    let _running = tokio::spawn(worker.run(async || Outcome::reject("not today")));
    let error = requester(&bench).await.request(ask("")).await.unwrap_err();
    assert_eq!(error.to_string(), "the request failed: not today");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_acked_after_the_reply_or_handled_again() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let worker = bench.worker().await.layer(Retry::fixed(SECOND)).max_messages(2);
    let faults = bench.faults();
    let once = {
        let (faults, publisher) = (faults.clone(), Arc::clone(&bench.publisher));
        reply(publisher, move |Attempt(attempt): Attempt| {
            if attempt == 1 {
                faults.reject_publishes(1);
            }
            async move { format!("attempt {attempt}") }
        })
    };
    let running = tokio::spawn(worker.run(once));
    assert_eq!(requester.request(ask("")).await.unwrap().body, "attempt 2");
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (1, 1), "a reply that was not confirmed is an error");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_wants_does_not_hold_up_the_request() {
    let bench = Bench::new().await;
    let plain = Message::new("1");
    let gone = Message::new("2").reply_to("gone").correlation_id("c");
    for message in [plain, gone] {
        bench.publisher.publish_one(Outgoing::new(QUEUE, message)).await.unwrap();
    }
    let worker = bench.worker().await.stop_when_empty();
    let report = worker.run(reply(Arc::clone(&bench.publisher), double)).await.unwrap();
    assert_eq!((report.counts.acked, bench.seen.all()), (2, vec!["1".to_owned(), "2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn other_clients_are_answered_as_amqp_says() {
    let bench = Bench::new().await;
    bench.broker.declare(&Topology::new().queue(Queue::new("answers"))).await.unwrap();
    let by_id = Message::new("1").reply_to("answers").id("the-id");
    let by_correlation = Message::new("2").reply_to("answers").id("other").correlation_id("mine");
    for message in [by_id, by_correlation] {
        bench.publisher.publish_one(Outgoing::new(QUEUE, message)).await.unwrap();
    }
    bench.worker().await.max_messages(2).run(reply(Arc::clone(&bench.publisher), double)).await.unwrap();
    let answers = bench.broker.provider("answers", ProviderOptions::default()).await.unwrap();
    let all = answers.receive(NonZeroUsize::new(9).unwrap(), SECOND).await.unwrap();
    let correlations: Vec<_> = all.iter().map(|d| d.message().properties.correlation_id.clone().unwrap()).collect();
    assert_eq!(correlations, ["the-id", "mine"]);
    assert_eq!(all[0].body(), "2");
}

#[tokio::test(start_paused = true)]
async fn too_many_wait_for_their_turn() {
    let bench = Bench::new().await;
    let slow = async |body: String| {
        sleep(SECOND).await;
        body
    };
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), slow));
    let options = RequesterOptions::default().max_pending(NonZeroUsize::new(2).unwrap());
    let requester = Requester::new(Arc::clone(&bench.broker), options).await.unwrap();
    let start = Instant::now();
    let one = |_| async { requester.request(ask("x")).await.unwrap() };
    futures_util::future::join_all((0..6).map(one)).await;
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_leaves_nothing_behind() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let dropped = tokio::time::timeout(SECOND, requester.request(ask("x"))).await;
    assert!(dropped.is_err() && requester.pending() == 0);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_waits_and_deletes_the_queue() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let waiting = tokio::spawn({
        let requester = requester.clone();
        async move { requester.request(ask("x")).await }
    });
    sleep(SECOND).await;
    requester.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(RequestError::Closed)));
    assert!(matches!(requester.request(ask("x")).await, Err(RequestError::Closed)));
    let gone = bench.broker.stats(requester.reply_queue()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    requester.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_that_is_dropped_takes_the_provider_along() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let queue = requester.reply_queue().to_owned();
    let providers = async || bench.broker.stats(&queue).await.unwrap().providers;
    drop(requester.clone());
    sleep(SECOND).await;
    assert_eq!(providers().await, Some(1));
    drop(requester);
    sleep(SECOND).await;
    assert_eq!(providers().await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_given_stays_and_what_is_in_it_harms_nobody() {
    let bench = Bench::new().await;
    let options = || RequesterOptions::default().reply_queue(Queue::new("replies"));
    let first = Requester::new(Arc::clone(&bench.broker), options()).await.unwrap();
    assert_eq!(first.reply_queue(), "replies");
    first.close().await.unwrap();
    let stray = Message::new("for the one before").correlation_id("unknown");
    bench.publisher.publish_one(Outgoing::new("replies", stray)).await.unwrap();
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), double));
    let second = Requester::new(Arc::clone(&bench.broker), options()).await.unwrap();
    assert_eq!(second.request(ask("4")).await.unwrap().body, "8");
    assert_eq!(bench.broker.stats("replies").await.unwrap().ready, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_is_declared_again() {
    let bench = Bench::new().await;
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), double));
    let requester = requester(&bench).await;
    bench.broker.delete(requester.reply_queue()).await.unwrap();
    sleep(120 * SECOND).await;
    assert_eq!(requester.request(ask("4")).await.unwrap().body, "8");
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_outlived() {
    let bench = Bench::new().await;
    let (_, _running) = serve!(bench, reply(Arc::clone(&bench.publisher), double));
    let requester = requester(&bench).await;
    let waiting = tokio::spawn({
        let requester = requester.clone();
        async move { requester.request(ask("5000")).await }
    });
    sleep(SECOND).await;
    bench.faults().cut();
    assert_eq!(waiting.await.unwrap().unwrap().body, "10000", "the request came again, and its reply arrived");
    assert_eq!(requester.request(ask("4")).await.unwrap().body, "8");
}

#[tokio::test(start_paused = true)]
async fn a_closed_broker_ends_everything() {
    let bench = Bench::new().await;
    let requester = requester(&bench).await;
    let waiting = tokio::spawn({
        let requester = requester.clone();
        async move { requester.request(ask("x")).await }
    });
    sleep(SECOND).await;
    bench.broker.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(RequestError::Closed)));
    assert!(matches!(requester.request(ask("x")).await, Err(RequestError::Closed)));
    requester.close().await.expect("there is nothing left to close");
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_be_a_route_and_needs_the_default_exchange() {
    let bench = Bench::new().await;
    let publisher = Arc::clone(&bench.publisher);
    let router = Router::new().message_type("double", reply(publisher, double).layer(Timeout::new(SECOND)));
    let (handle, running) = serve!(bench, router);
    let request = Outgoing::new(QUEUE, Message::new("3").message_type("double"));
    assert_eq!(requester(&bench).await.request(request).await.unwrap().body, "6");
    handle.stop();
    let report = running.await.unwrap().unwrap();
    assert!(matches!(report.stopped, StopReason::Handle));

    bench.broker.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    let events = bench.broker.publisher("events", PublisherOptions::default()).await.unwrap();
    let error = bench.worker().await.run(reply(events, double)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("replies need a publisher to the default exchange"), "{source}");
}

#[test]
fn what_can_be_a_reply() {
    use swarrot::IntoReply;
    assert_eq!("text".into_reply().unwrap().body, "text");
    assert_eq!("text".to_owned().into_reply().unwrap().body, "text");
    assert_eq!(vec![0_u8].into_reply().unwrap().body, [0][..]);
    assert_eq!(().into_reply().unwrap(), Message::default());
    let json = Json([1, 2]).into_reply().unwrap();
    assert_eq!(
        (json.body.as_ref(), json.properties.content_type.as_deref()),
        (&b"[1,2]"[..], Some("application/json"))
    );
    assert_eq!(Err::<(), _>("no").into_reply().unwrap_err().to_string(), "no");
    assert_eq!(Ok::<_, BoxError>(Message::new("m")).into_reply().unwrap().body, "m");
}
