//! What the layers that watch cost for each delivery, where nobody listens and where somebody does.
//!
//! The allocations are a test; the times are printed on demand:
//! `cargo test --release --all-features --test observe_cost -- --ignored --nocapture`

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use allocation_counter::measure;
use metrics_util::debugging::DebuggingRecorder;
use swarrot::layer::{Metrics, Trace};
use swarrot::prelude::*;
use swarrot::publishing::{BlackholePublisher, LayerPublisher as _};
use swarrot::{Handler, Receipt};
use tower_layer::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Done;

impl Handler for Done {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        black_box(&delivery);
        Ok(Outcome::Ack)
    }
}

fn delivery(traced: bool) -> Delivery {
    let message = Message::new("body").id("the-id");
    let message = if traced { message.header("traceparent", PARENT) } else { message };
    Delivery::new("work", Receipt::new(1, 1), message).with_system("memory")
}

/// Runs a future that never waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Allocations of one delivery, once the first has made what is made once.
fn allocations<H: Handler>(handler: &H, delivery: &Delivery) -> u64 {
    let once = || drop(run(handler.handle(delivery.clone())));
    (0..3).for_each(|_| once());
    measure(once).count_total
}

fn stack() -> impl Handler {
    Trace::new().layer(Metrics::new().layer(Done))
}

#[test]
fn nothing_is_allocated_where_nobody_listens() {
    for traced in [false, true] {
        assert_eq!(allocations(&Trace::new().layer(Done), &delivery(traced)), 0, "Trace, traced: {traced}");
        assert_eq!(allocations(&Metrics::new().layer(Done), &delivery(traced)), 0, "Metrics, traced: {traced}");
        assert_eq!(allocations(&stack(), &delivery(traced)), 0, "both, traced: {traced}");
    }
}

#[test]
fn nothing_is_allocated_for_a_span_that_is_filtered_out() {
    let filtered = registry().with(fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::WARN));
    tracing::subscriber::with_default(filtered, || {
        assert_eq!(allocations(&Trace::new().layer(Done), &delivery(true)), 0);
    });
}

#[test]
fn a_recorder_adds_what_it_allocates_itself_and_nothing_more() {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        let handler = Metrics::new().layer(Done);
        let delivery = delivery(false);
        // A histogram's buckets are filled block by block.
        let most = (0..100).map(|_| allocations(&handler, &delivery)).filter(|count| *count > 0).count();
        assert!(most <= 5, "{most} of a hundred deliveries allocated");
    });
}

/// Nanoseconds for each delivery: the best of several rounds.
fn time<H: Handler>(handler: &H, delivery: &Delivery) -> f64 {
    const DELIVERIES: u32 = 200_000;
    let round = || {
        let start = Instant::now();
        for _ in 0..DELIVERIES {
            black_box(run(handler.handle(delivery.clone()))).expect("it is done");
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(DELIVERIES)
    };
    (0..9).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn row(what: &str, handler: &impl Handler, delivery: &Delivery) {
    println!("| {what} | {:.0} ns | {} |", time(handler, delivery), allocations(handler, delivery));
}

#[test]
#[ignore = "it measures, and says nothing about right or wrong"]
fn figures() {
    println!("| for each delivery | time | allocations |\n|---|---|---|");
    row("a handler that does nothing", &Done, &delivery(true));
    row("`Trace`, nobody listens", &Trace::new().layer(Done), &delivery(false));
    row("`Trace`, nobody listens, a traced message", &Trace::new().layer(Done), &delivery(true));
    row("`Metrics`, no recorder", &Metrics::new().layer(Done), &delivery(true));
    let text = || registry().with(fmt::layer().with_writer(std::io::sink));
    tracing::subscriber::with_default(registry().with(LevelFilter::WARN), || {
        row("`Trace`, its span filtered out", &Trace::new().layer(Done), &delivery(true));
    });
    tracing::subscriber::with_default(text(), || {
        row("`Trace`, a formatter listens", &Trace::new().layer(Done), &delivery(true));
    });
    #[cfg(feature = "opentelemetry")]
    opentelemetry_row();
    #[cfg(feature = "fingers-crossed")]
    fingers_crossed_rows();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || {
        row("`Metrics`, a recorder listens", &Metrics::new().layer(Done), &delivery(true));
    });
    publish_rows();
}

#[cfg(feature = "opentelemetry")]
fn opentelemetry_row() {
    use opentelemetry::trace::TracerProvider as _;
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("cost"));
    tracing::subscriber::with_default(registry().with(layer), || {
        row("`Trace`, OpenTelemetry listens, no exporter", &Trace::new().layer(Done), &delivery(true));
    });
}

/// A handler that logs ten lines.
struct Chatty;

impl Handler for Chatty {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        for line in 0..10 {
            tracing::debug!(line, id = delivery.id(), "a line of debug");
        }
        Ok(Outcome::Ack)
    }
}

#[cfg(feature = "fingers-crossed")]
fn fingers_crossed_rows() {
    use swarrot::layer::FingersCrossed;
    let info = registry().with(fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO));
    tracing::subscriber::with_default(info, || {
        row("ten debug lines, filtered out", &Trace::new().layer(Chatty), &delivery(true));
    });
    let crossed = FingersCrossed::new(std::io::sink).format(|writer| fmt::layer().with_writer(writer));
    tracing::subscriber::with_default(registry().with(crossed), || {
        row("ten debug lines, kept by `FingersCrossed` and forgotten", &Trace::new().layer(Chatty), &delivery(true));
    });
    tracing::subscriber::with_default(registry().with(fmt::layer().with_writer(std::io::sink)), || {
        row("ten debug lines, written", &Trace::new().layer(Chatty), &delivery(true));
    });
}

fn publish_rows() {
    println!("\n| for each publish of one message | time | allocations |\n|---|---|---|");
    let hole: Arc<dyn MessagePublisher> = Arc::new(BlackholePublisher::new("events"));
    let batch = [Outgoing::new("key", Message::new("body").id("the-id").header("tenant", "a"))];
    let publish_row = |what: &str, publisher: &Arc<dyn MessagePublisher>| {
        let once = || drop(black_box(run(publisher.publish(&batch))));
        (0..1000).for_each(|_| once());
        let count = measure(once).count_total;
        let start = Instant::now();
        (0..100_000).for_each(|_| once());
        println!("| {what} | {:.0} ns | {count} |", start.elapsed().as_secs_f64() * 1e9 / 100_000.0);
    };
    publish_row("`BlackholePublisher`", &hole);
    publish_row("with `Trace`, nobody listens", &Arc::clone(&hole).layer(Trace::new()));
    publish_row("with `Metrics`, no recorder", &hole.layer(Metrics::new()));
}
