//! Traces of OpenTelemetry, through `tracing-opentelemetry`, as an exporter gets them.

use std::collections::HashSet;
use std::sync::Arc;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use opentelemetry_semantic_conventions::attribute;
use swarrot::layer::{Retry, Trace};
use swarrot::message::names;
use swarrot::prelude::*;
use swarrot::publishing::{LayerPublisher as _, RecordingPublisher};
use swarrot::{Error, Value};
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Bench, DEAD, QUEUE, SECOND, listen};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Exported(
    InMemorySpanExporter,
    SdkTracerProvider,
    #[expect(dead_code, reason = "dropped at the end")] DefaultGuard,
);

impl Exported {
    fn new(targets: &str) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let filter: Targets = targets.parse().unwrap();
        let guard = listen(tracing_subscriber::registry().with(layer).with(filter));
        Self(exporter, provider, guard)
    }

    fn all() -> Self {
        Self::new("trace")
    }

    fn spans(&self) -> Vec<SpanData> {
        self.1.force_flush().unwrap();
        self.0.get_finished_spans().unwrap()
    }

    /// The spans of this name, in the order of their ends.
    fn named(&self, name: &str) -> Vec<SpanData> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }
}

/// Whether it is a child of that one, and linked to it.
fn is_child(span: &SpanData, parent: &SpanData) -> bool {
    span.span_context.trace_id() == parent.span_context.trace_id()
        && span.parent_span_id == parent.span_context.span_id()
        && links(span) == [parent.span_context.span_id()]
}

fn links(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
}

/// The span that a message says it is from.
fn sender(message: &Message) -> String {
    message.headers.get(names::TRACEPARENT).and_then(Value::as_str).unwrap().to_owned()
}

fn traceparent(context: &SpanContext) -> String {
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

#[tokio::test(start_paused = true)]
async fn all_attempts_belong_to_the_trace_of_the_publish() {
    let exported = Exported::all();
    let bench = Bench::new().await;
    let publisher = Arc::clone(&bench.publisher).layer(Trace::new());
    publisher.publish_one(Outgoing::new(QUEUE, Message::new("").id("the-id"))).await.unwrap();
    let failing = async || Err::<(), _>("no");
    let worker = bench.worker().await.layer(Trace::new()).layer(Retry::fixed(SECOND).attempts(3)).max_messages(3);
    worker.spawned().run(failing).await.unwrap();
    // Parked, looked at, and sent back.
    let dead = bench.worker_of(DEAD).await.layer(Trace::new()).max_messages(1);
    let back = Arc::clone(&publisher);
    let redrive = move |parked: Delivery| {
        let back = Arc::clone(&back);
        async move { back.publish_one(Outgoing::redrive(&parked)?).await }
    };
    dead.run(redrive).await.unwrap();
    bench.worker().await.layer(Trace::new()).max_messages(1).run(async || {}).await.unwrap();

    let publishes = exported.named("publish work");
    let (first, redriven) = (&publishes[0], &publishes[1]);
    assert_eq!(first.span_kind, SpanKind::Producer);
    assert_eq!((first.parent_span_id, links(first).len()), (SpanId::INVALID, 0), "the root of all");
    let attempts = exported.named("process work");
    assert_eq!(attempts.len(), 4);
    for attempt in &attempts {
        assert_eq!(attempt.span_kind, SpanKind::Consumer);
        assert!(is_child(attempt, first), "{attempt:?}");
        assert_eq!(attribute(attempt, attribute::MESSAGING_MESSAGE_ID).as_deref(), Some("the-id"));
    }
    let numbers: Vec<_> = attempts.iter().map(|attempt| attribute(attempt, "swarrot.attempt").unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "1"], "a redriven message begins anew");
    let in_dead = &exported.named("process work.dead")[0];
    assert!(is_child(in_dead, first));
    // What was published by a handler is a child of its delivery; the message keeps its own context, and is linked.
    assert_eq!(redriven.parent_span_id, in_dead.span_context.span_id());
    assert_eq!(links(redriven), [first.span_context.span_id()]);
}

#[tokio::test(start_paused = true)]
async fn names_and_status_are_those_of_the_conventions() {
    let exported = Exported::all();
    let bench = Bench::new().await;
    bench.send(Message::new("fine")).await;
    bench.send(Message::new("bad")).await;
    let handler = async |body: String| if body == "fine" { Ok(()) } else { Err("451 busy") };
    let worker = bench.worker().await.layer(Trace::new()).max_messages(2);
    worker.run(handler).await.unwrap();
    let [fine, bad] = &exported.named("process work")[..] else { panic!("two spans") };
    assert_eq!(fine.status, Status::Unset);
    assert_eq!(attribute(fine, attribute::ERROR_TYPE), None);
    assert_eq!(bad.status, Status::error("451 busy"));
    assert_eq!(attribute(bad, attribute::ERROR_TYPE).as_deref(), Some("_OTHER"));
    assert_eq!(attribute(bad, attribute::MESSAGING_SYSTEM).as_deref(), Some("memory"));
    assert_eq!(attribute(bad, "messaging.memory.destination.routing_key").as_deref(), Some("work"));
    // What it is called where the system is the convention's.
    let on_rabbitmq = attribute::MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY;
    assert_eq!(on_rabbitmq.replace("rabbitmq", "memory"), "messaging.memory.destination.routing_key");

    let recording = RecordingPublisher::new("events");
    recording.fail_next(Error::new(ErrorKind::Unroutable, "no queue"));
    let publisher = recording.layer(Trace::new());
    publisher.publish_one(Outgoing::new("key", Message::new(""))).await.unwrap_err();
    let publish = &exported.named("publish events")[0];
    assert_eq!(publish.status, Status::error("no queue"));
    assert_eq!(attribute(publish, attribute::ERROR_TYPE).as_deref(), Some("unroutable"));
}

#[tokio::test(start_paused = true)]
async fn links_only_begins_a_new_trace() {
    let exported = Exported::all();
    let bench = Bench::new().await;
    bench.send(Message::new("").header(names::TRACEPARENT, PARENT).header(names::TRACESTATE, "vendor=1")).await;
    bench.worker().await.layer(Trace::new().links_only()).max_messages(1).run(async || {}).await.unwrap();
    let span = &exported.named("process work")[0];
    assert_ne!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    let link = &span.links[0].span_context;
    assert_eq!((traceparent(link), link.trace_state().header()), (PARENT.to_owned(), "vendor=1".to_owned()));
    assert!(link.is_remote());
}

#[tokio::test(start_paused = true)]
async fn a_span_around_the_handler_stays_the_parent() {
    use swarrot::Handler;
    use tower_layer::Layer as _;
    struct Done;
    impl Handler for Done {
        async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
            Ok(Outcome::Ack)
        }
    }
    let exported = Exported::all();
    let bench = Bench::new().await;
    bench.send(Message::new("").header(names::TRACEPARENT, PARENT)).await;
    let delivery = bench.take(QUEUE).await;
    Trace::new().layer(Done).handle(delivery).instrument(info_span!("around")).await.unwrap();
    let (around, span) = (&exported.named("around")[0], &exported.named("process work")[0]);
    assert_eq!(span.parent_span_id, around.span_context.span_id());
    assert_eq!(links(span), [SpanId::from_hex("b7ad6b7169203331").unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_batch_has_a_context() {
    let exported = Exported::all();
    let recording = RecordingPublisher::new("events");
    let batch = || {
        let own = Message::new("").header(names::TRACEPARENT, PARENT);
        [Outgoing::new("a", Message::new("")), Outgoing::new("b", Message::new("")), Outgoing::new("c", own)]
    };
    let publish = async |trace: Trace| {
        let publisher = recording.clone().layer(trace);
        let publish = async { publisher.publish(&batch()).await.into_iter().collect::<Result<Vec<_>, _>>() };
        publish.instrument(info_span!("request")).await.unwrap();
        recording.take().iter().map(|outgoing| sender(&outgoing.message)).collect::<Vec<_>>()
    };
    let senders = publish(Trace::new()).await;
    let request = exported.named("request").remove(0);
    let creates = exported.named("create events");
    let publish_span = exported.named("publish events").remove(0);
    assert_eq!(creates.len(), 2, "not for the one that has its own");
    assert!(creates.iter().all(|create| create.parent_span_id == request.span_context.span_id()));
    assert!(creates.iter().all(|create| create.span_kind == SpanKind::Producer));
    let mut expected: Vec<_> = creates.iter().map(|create| traceparent(&create.span_context)).collect();
    expected.push(PARENT.to_owned());
    assert_eq!(senders, expected);
    assert_eq!((&publish_span.span_kind, links(&publish_span).len()), (&SpanKind::Client, 3));
    assert_eq!(publish_span.parent_span_id, request.span_context.span_id());

    let senders = publish(Trace::new().without_create_spans()).await;
    assert_eq!(exported.named("create events").len(), 2, "no more of them");
    let publish_span = exported.named("publish events").remove(1);
    let common = traceparent(&publish_span.span_context);
    assert_eq!(senders, [common.clone(), common, PARENT.to_owned()]);
    assert_eq!(links(&publish_span).len(), 1);
    assert_eq!(exported.spans().iter().map(|span| span.span_context.span_id()).collect::<HashSet<_>>().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn where_its_spans_are_filtered_out_the_one_around_is_carried_on() {
    let exported = Exported::new("trace,swarrot=off");
    let recording = RecordingPublisher::new("");
    let publisher = recording.clone().layer(Trace::new());
    let publish = publisher.publish_one(Outgoing::new(QUEUE, Message::new("")));
    publish.instrument(info_span!("request")).await.unwrap();
    let request = &exported.named("request")[0];
    assert_eq!(exported.spans().len(), 1);
    assert_eq!(sender(&recording.published()[0].message), traceparent(&request.span_context));
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_malformed_begins_a_new_trace() {
    let exported = Exported::all();
    let bench = Bench::new().await;
    let publisher = Arc::clone(&bench.publisher).layer(Trace::new());
    let malformed = Message::new("").header(names::TRACEPARENT, "00-nonsense").header(names::TRACESTATE, "=,=");
    publisher.publish_one(Outgoing::new(QUEUE, malformed)).await.unwrap();
    bench.send(Message::new("").header(names::TRACEPARENT, "00-nonsense")).await;
    bench.send(Message::new("").header(names::TRACEPARENT, PARENT).header(names::TRACESTATE, "=,=")).await;
    bench.worker().await.layer(Trace::new()).max_messages(3).run(async || {}).await.unwrap();
    let [mended, fresh, stateless] = &exported.named("process work")[..] else { panic!("three spans") };
    assert!(is_child(mended, &exported.named("publish work")[0]));
    assert_eq!((fresh.parent_span_id, links(fresh).len()), (SpanId::INVALID, 0));
    assert_eq!(traceparent(&stateless.links[0].span_context), PARENT);
}
