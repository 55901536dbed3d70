//! Spans of deliveries and publishes where nothing but `tracing` is there.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use opentelemetry_semantic_conventions::attribute;
use swarrot::layer::{Retry, Timeout, Trace};
use swarrot::message::names;
use swarrot::prelude::*;
use swarrot::publishing::{LayerPublisher as _, RecordingPublisher};
use swarrot::{Error, Value};
use tokio::time::sleep;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Bench, DEAD, Fields, QUEUE, SECOND, Seen, listen};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PROCESS: &str = "swarrot::process";
const PUBLISH: &str = "swarrot::publish";

fn watched() -> (Seen, DefaultGuard) {
    let seen = Seen::default();
    let guard = listen(tracing_subscriber::registry().with(seen.clone()));
    (seen, guard)
}

/// The fields of the only span.
fn only(mut spans: Vec<Fields>) -> HashMap<&'static str, String> {
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans.remove(0).into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_delivery_has_the_names_of_the_conventions() {
    let (seen, _guard) = watched();
    let bench = Bench::new().await;
    bench.send(Message::new("").id("the-id").correlation_id("talk").header(names::TRACEPARENT, PARENT)).await;
    bench.worker().await.layer(Trace::new()).max_messages(1).run(async || {}).await.unwrap();
    let span = only(seen.spans(PROCESS));
    let expected = [
        (attribute::MESSAGING_SYSTEM, "memory"),
        (attribute::MESSAGING_OPERATION_NAME, "process"),
        (attribute::MESSAGING_OPERATION_TYPE, "process"),
        (attribute::MESSAGING_DESTINATION_NAME, QUEUE),
        (attribute::MESSAGING_MESSAGE_ID, "the-id"),
        (attribute::MESSAGING_MESSAGE_CONVERSATION_ID, "talk"),
        ("otel.kind", "consumer"),
        ("otel.name", "process work"),
        ("swarrot.attempt", "1"),
        ("swarrot.outcome", "ack"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("parent_id", "b7ad6b7169203331"),
    ];
    let expected: HashMap<_, _> = expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    assert_eq!(span, expected);
}

#[tokio::test(start_paused = true)]
async fn a_publish_has_them_too_and_an_event_for_each_message() {
    let (seen, _guard) = watched();
    let recording = RecordingPublisher::new("events");
    let publisher = recording.clone().layer(Trace::new());
    publisher.publish_one(Outgoing::new("user.1", Message::new("").id("one").correlation_id("talk"))).await.unwrap();
    recording.fail_if(|outgoing| (outgoing.routing_key == "b").then(|| Error::new(ErrorKind::Unroutable, "no queue")));
    let batch = ["a", "b", "c"].map(|key| Outgoing::new(key, Message::new("")));
    let results = publisher.publish(&batch).await;
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());

    let spans = seen.spans(PUBLISH);
    let field = |index: usize, name: &str| spans[index].get(name).map(String::as_str);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!(field(0, attribute::MESSAGING_OPERATION_TYPE), Some("send"));
    assert_eq!(field(0, attribute::MESSAGING_OPERATION_NAME), Some("publish"));
    assert_eq!(field(0, attribute::MESSAGING_DESTINATION_NAME), Some("events"), "keys may be many");
    assert_eq!(field(0, attribute::MESSAGING_MESSAGE_ID), Some("one"));
    assert_eq!(field(0, attribute::MESSAGING_MESSAGE_CONVERSATION_ID), Some("talk"));
    assert_eq!(field(0, attribute::MESSAGING_BATCH_MESSAGE_COUNT), None, "not for one");
    assert_eq!(field(0, attribute::ERROR_TYPE), None);
    assert_eq!(field(1, attribute::MESSAGING_BATCH_MESSAGE_COUNT), Some("3"));
    assert_eq!(field(1, attribute::MESSAGING_MESSAGE_ID), None, "not for several");
    assert_eq!(field(1, attribute::ERROR_TYPE), Some("unroutable"));

    let told: Vec<_> = seen.events().into_iter().filter(|event| event["target"] == PUBLISH).collect();
    let texts: Vec<_> = told.iter().map(|event| (event["message"].as_str(), event["routing_key"].as_str())).collect();
    assert_eq!(texts, [("published", "user.1"), ("published", "a"), ("not published", "b"), ("published", "c")]);
    assert!(told.iter().all(|event| !event["id"].is_empty()), "each has an id by now: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_cancelled_says_so() {
    let (seen, _guard) = watched();
    let bench = Bench::new().await;
    let publisher = Arc::clone(&bench.publisher).layer(Trace::new());
    bench.faults().block();
    let publish = publisher.publish_one(Outgoing::new(QUEUE, Message::new("")));
    assert!(tokio::time::timeout(SECOND, publish).await.is_err());
    assert_eq!(only(seen.spans(PUBLISH))["error.type"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn every_attempt_and_the_dead_letter_know_the_first_trace() {
    let (seen, _guard) = watched();
    let bench = Bench::new().await;
    bench.send(Message::new("").header(names::TRACEPARENT, PARENT).header(names::TRACESTATE, "vendor=1")).await;
    let failing = async || Err::<(), _>("no");
    let worker = bench.worker().await.layer(Trace::new()).layer(Retry::fixed(SECOND).attempts(3)).max_messages(3);
    worker.run(failing).await.unwrap();
    bench.worker_of(DEAD).await.layer(Trace::new()).max_messages(1).run(async || {}).await.unwrap();

    let spans = seen.spans(PROCESS);
    let values = |name| spans.iter().map(|span| span[name].as_str()).collect::<Vec<_>>();
    assert_eq!(values("swarrot.attempt"), ["1", "2", "3", "3"]);
    assert_eq!(values("swarrot.outcome"), ["retry", "retry", "error", "ack"]);
    assert_eq!(values("messaging.destination.name"), [QUEUE, QUEUE, QUEUE, DEAD]);
    assert!(values("trace_id").iter().all(|id| *id == "0af7651916cd43dd8448eb211c80319c"), "{spans:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_publishes_carries_its_trace_on() {
    for spawned in [false, true] {
        let bench = Bench::new().await;
        let recording = RecordingPublisher::new("next");
        let publisher = recording.clone().layer(Trace::new());
        bench
            .send(Message::new("traced").header(names::TRACEPARENT, PARENT).header(names::TRACESTATE, "vendor=1"))
            .await;
        bench.send(Message::new("untraced")).await;
        let handler = move |body: String| {
            let publisher = Arc::clone(&publisher);
            async move {
                sleep(SECOND).await;
                publisher.publish_one(Outgoing::new("key", Message::new(body))).await
            }
        };
        let worker = bench.worker().await.concurrency(2).layer(Trace::new()).max_messages(2);
        let worker = if spawned { worker.spawned() } else { worker };
        worker.run(handler).await.unwrap();
        let mut published = recording.published();
        published.sort_by_key(|outgoing| outgoing.message.body.clone());
        let headers: Vec<_> = published.iter().map(|outgoing| &outgoing.message.headers).collect();
        let header = |index: usize, name| headers[index].get(name).and_then(Value::as_str);
        assert_eq!((header(0, names::TRACEPARENT), header(0, names::TRACESTATE)), (Some(PARENT), Some("vendor=1")));
        assert!(headers[1].is_empty(), "nobody invents a trace: {headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_keeps_a_context_of_its_own() {
    let own = PARENT.replace("0af", "1af");
    let bench = Bench::new().await;
    let recording = RecordingPublisher::new("next");
    let publisher = recording.clone().layer(Trace::new());
    bench.send(Message::new("").header(names::TRACEPARENT, PARENT).header(names::TRACESTATE, "vendor=1")).await;
    let message = Message::new("").header(names::TRACEPARENT, own.as_str());
    let handler = move || {
        let (publisher, message) = (Arc::clone(&publisher), message.clone());
        async move { publisher.publish_one(Outgoing::new("key", message)).await }
    };
    bench.worker().await.layer(Trace::new()).max_messages(1).run(handler).await.unwrap();
    let published = recording.published().remove(0).message;
    assert_eq!(published.headers.get(names::TRACEPARENT), Some(&own.into()));
    assert_eq!(published.headers.get(names::TRACESTATE), None, "a state goes with its parent only");
}

#[tokio::test(start_paused = true)]
async fn the_span_tells_how_it_ended() {
    fn end(body: &str) -> Result<Outcome, BoxError> {
        match body {
            "release" => Ok(Outcome::Release),
            "requeue" => Ok(Outcome::Requeue),
            "reject" => Ok(Outcome::reject("no")),
            "permanent" => Err(Permanent::new("no").into()),
            "panic" => panic!("boom"),
            _ => Err("no".into()),
        }
    }
    let (seen, _guard) = watched();
    let bench = Bench::new().await;
    let bodies = ["release", "requeue", "reject", "error", "permanent", "panic", "timeout"];
    for body in bodies {
        bench.send(Message::new(body)).await;
    }
    let handler = async |delivery: Delivery| {
        let body = String::from_utf8(delivery.body().to_vec())?;
        // What went back would come for ever.
        if delivery.redelivered() {
            return Ok(Outcome::Ack);
        }
        if body == "timeout" {
            pending::<()>().await;
        }
        end(&body)
    };
    let worker = bench.worker().await.layer(Trace::new()).layer(Timeout::new(SECOND)).stop_when_empty();
    worker.run(handler).await.unwrap();
    let ends = |redelivered: bool| {
        let spans = seen.spans(PROCESS);
        let ends: Vec<_> = spans
            .iter()
            .map(|span| format!("{} {}", span["swarrot.outcome"], span.get("error.type").map_or("-", String::as_str)))
            .filter(|end| (end == "ack -") == redelivered)
            .collect();
        ends
    };
    let expected = [
        "release -",
        "requeue requeue",
        "reject reject",
        "error _OTHER",
        "error permanent",
        "error panic",
        "error timeout",
    ];
    assert_eq!(ends(false), expected);
    assert_eq!(ends(true).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_ends_its_span() {
    for spawned in [false, true] {
        let (seen, _guard) = watched();
        let bench = Bench::new().await;
        bench.fill(1).await;
        let worker = bench.worker().await.layer(Trace::new()).deadline(SECOND).max_time(SECOND);
        let worker = if spawned { worker.spawned() } else { worker };
        let report = worker.run(async || pending::<()>().await).await.unwrap();
        assert_eq!(report.counts.cancelled, 1);
        // A task of its own is dropped a moment later.
        tokio::task::yield_now().await;
        let span = only(seen.spans(PROCESS));
        assert_eq!((span["swarrot.outcome"].as_str(), span["error.type"].as_str()), ("cancelled", "cancelled"));
    }
}
