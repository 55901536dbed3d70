//! What layers cost a message that is handled well: no allocation, and few nanoseconds.

#![cfg(feature = "memory")]

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use swarrot::layer::{BeforeAfter, BoxLayer, BoxStack, InstantRetry, MaxAge, MaxDeliveries, PeakMemory};
use swarrot::memory::MemoryBroker;
use swarrot::prelude::*;
use swarrot::{Handler, Receipt};
use tokio::runtime::{Builder, Runtime};
use tower_layer::Layer;

const SECOND: Duration = Duration::from_secs(1);

/// A handler that has nothing to do.
#[derive(Clone)]
struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn delivery() -> Delivery {
    let mut message = Message::new("body").id("id").header("swarrot_retry_attempts", 2).header("own", "header");
    message.properties.timestamp = Some(1_700_000_000);
    Delivery::new("work", Receipt::new(1, 1), message).routed("events", "key").delivered(false, Some(1))
}

async fn before(_: Delivery) -> Result<(), BoxError> {
    Ok(())
}

async fn after(_: Delivery, _: Option<Outcome>) {}

/// Each layer by itself around a handler, and all of them: `$each` is called with a name and the handler.
macro_rules! for_each_layer {
    ($each:expr) => {{
        let retry = Retry::exponential(SECOND, 60 * SECOND).attempts(5).max_age(3600 * SECOND).jitter();
        let (deliveries, age, instant) =
            (MaxDeliveries::new(10), MaxAge::new(3600 * SECOND), InstantRetry::new(3, SECOND));
        let (hooks, timeout) = (BeforeAfter::new().before(before).after(after), Timeout::new(60 * SECOND));
        $each("none", &Nothing);
        $each("Retry", &retry.layer(Nothing));
        $each("MaxDeliveries", &deliveries.layer(Nothing));
        $each("MaxAge", &age.layer(Nothing));
        $each("InstantRetry", &instant.layer(Nothing));
        $each("BeforeAfter", &hooks.layer(Nothing));
        $each("Timeout", &timeout.layer(Nothing));
        $each("PeakMemory", &PeakMemory::new().layer(Nothing));
        $each("all but PeakMemory", &(deliveries, age, retry, hooks, instant, timeout).layer(Nothing));
    }};
}

/// Handles so many messages.
fn handle<H: Handler>(runtime: &Runtime, handler: &H, delivery: &Delivery, messages: u32) {
    runtime.block_on(async {
        for _ in 0..messages {
            handler.handle(delivery.clone()).await.unwrap();
        }
    });
}

fn allocations<H: Handler>(name: &str, handler: &H) {
    let (runtime, delivery) = (runtime(), delivery());
    // The first ones set up what lives on: the runtime's own, and whether anybody listens to tracing.
    handle(&runtime, handler, &delivery, 10);
    let (few, many) = (10, 1000);
    let count = |messages| measure(|| handle(&runtime, handler, &delivery, messages)).count_total;
    assert_eq!(count(many), count(few), "{name} allocates");
}

#[test]
fn no_layer_allocates() {
    for_each_layer!(allocations);
}

#[test]
fn a_boxed_stack_allocates_for_the_handler_and_each_layer() {
    let layers = [
        BoxLayer::new(Retry::fixed(SECOND)),
        BoxLayer::new(InstantRetry::new(3, SECOND)),
        BoxLayer::new(Timeout::new(SECOND)),
    ];
    for count in 0..=layers.len() {
        let stack: BoxStack = layers[..count].iter().cloned().collect();
        let handler = stack.layer(Nothing);
        let (runtime, delivery) = (runtime(), delivery());
        handle(&runtime, &handler, &delivery, 10);
        let of = |messages| measure(|| handle(&runtime, &handler, &delivery, messages)).count_total;
        assert_eq!(of(110) - of(10), 100 * (count as u64 + 1), "{count} layers");
    }
}

/// A provider of a queue with so many messages.
async fn filled(messages: u16) -> Arc<dyn MessageProvider> {
    let broker = MemoryBroker::new().into_dyn();
    broker.declare(&Topology::new().queue(Queue::new("work"))).await.unwrap();
    let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
    let batch: Vec<_> = (0..messages).map(|_| Outgoing::new("work", Message::new("body"))).collect();
    for result in publisher.publish(&batch).await {
        result.unwrap();
    }
    broker.provider("work", ProviderOptions::default()).await.unwrap()
}

/// Allocations of a whole worker for so many messages.
fn of_worker(messages: u16, layered: bool) -> u64 {
    let runtime = runtime();
    let provider = runtime.block_on(filled(messages));
    let worker = Worker::new(provider)
        .signals_off()
        .concurrency(8)
        .prefetch(NonZeroU16::new(64).unwrap())
        .max_messages(messages.into());
    let run = || {
        let report = if layered {
            let worker = worker
                .layer(MaxDeliveries::new(10))
                .layer(MaxAge::new(3600 * SECOND))
                .layer(Retry::fixed(SECOND).jitter())
                .layer(InstantRetry::new(3, SECOND))
                .layer(Timeout::new(60 * SECOND));
            runtime.block_on(worker.run(Nothing))
        } else {
            runtime.block_on(worker.run(Nothing))
        };
        assert_eq!(report.unwrap().counts.acked, u64::from(messages));
    };
    measure(run).count_total
}

#[test]
fn five_layers_add_no_allocation_to_a_worker() {
    of_worker(100, true);
    let growth = |layered| of_worker(4000, layered).abs_diff(of_worker(2000, layered));
    let (plain, layered) = (growth(false), growth(true));
    println!("2000 messages more: {plain} allocations without layers, {layered} with five");
    // A list that grows now and then is no allocation for each message.
    assert!(layered <= plain + 20, "{layered} allocations with layers, {plain} without");
}

#[test]
#[ignore = "figures: cargo test --release -p swarrot --test costs -- --ignored --nocapture"]
fn figures() {
    for_each_layer!(nanoseconds);
}

fn nanoseconds<H: Handler>(name: &str, handler: &H) {
    let (runtime, delivery) = (runtime(), delivery());
    // Many short rounds: the best one was not interrupted.
    let messages = if name == "PeakMemory" { 100 } else { 10_000 };
    let round = |_| {
        let start = Instant::now();
        handle(&runtime, handler, &delivery, messages);
        start.elapsed()
    };
    let best = (0..1000).map(round).min().unwrap();
    let nanoseconds = best.as_secs_f64() * 1e9 / f64::from(messages);
    println!("{name:<20} {nanoseconds:>8.1} ns a message");
}
