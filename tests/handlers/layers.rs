//! The first layer added is the outermost, however layers are put together.

use crate::support::{Bench, Seen};
use swarrot::prelude::*;
use swarrot::{Handler, IntoHandler};
use tower::ServiceBuilder;
use tower_layer::{Layer, Stack};

/// A layer that notes its name before and after the handler.
#[derive(Clone)]
struct Mark(&'static str, Seen);

struct Marked<H>(Mark, H);

impl<H> Layer<H> for Mark {
    type Service = Marked<H>;

    fn layer(&self, inner: H) -> Marked<H> {
        Marked(self.clone(), inner)
    }
}

impl<H: Handler> Handler for Marked<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let Mark(name, seen) = &self.0;
        seen.note(format!("> {name}"));
        let result = self.1.handle(delivery).await;
        seen.note(format!("< {name}"));
        result
    }
}

/// What a worker with this layer notes for one message.
async fn notes<L>(build: impl FnOnce([Mark; 3]) -> L) -> Vec<String>
where
    L: Layer<Marked<Nothing>, Service: Handler>,
{
    let seen = Seen::default();
    let marks = ["a", "b", "c"].map(|name| Mark(name, seen.clone()));
    let handler = build(marks).layer(Marked(Mark("handler", seen.clone()), Nothing));
    handler.handle(Delivery::new("q", swarrot::Receipt::new(0, 1), Message::new(""))).await.unwrap();
    seen.all()
}

struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
        Ok(Outcome::Ack)
    }
}

const NESTED: [&str; 8] = ["> a", "> b", "> c", "> handler", "< handler", "< c", "< b", "< a"];

#[tokio::test]
async fn builders_tuples_and_stacks() {
    assert_eq!(notes(|[a, b, c]| ServiceBuilder::new().layer(a).layer(b).layer(c)).await, NESTED);
    assert_eq!(notes(|[a, b, c]| (a, b, c)).await, NESTED);
    assert_eq!(notes(|[a, b, c]| Stack::new(c, Stack::new(b, a))).await, NESTED);
    assert_eq!(notes(|[a, b, c]| (a, ServiceBuilder::new().layer(b).layer(c).into_inner())).await, NESTED);
}

#[tokio::test(start_paused = true)]
async fn workers_and_handlers_alike() {
    let noted = async |State(seen): State<Seen>| {
        seen.note("> handler");
        seen.note("< handler");
    };
    for way in 0..4 {
        let bench = Bench::new().await;
        bench.fill(1).await;
        let [a, b, c] = ["a", "b", "c"].map(|name| Mark(name, bench.seen.clone()));
        let worker = bench.worker().await.max_messages(1);
        let report = match way {
            0 => worker.layer(a).layer(b).layer(c).run(noted).await,
            1 => worker.run(noted.layer(a).layer(b).layer(c)).await,
            2 => worker.layer(a).run(noted.layer((b, c))).await,
            _ => worker.layer(ServiceBuilder::new().layer(a).layer(b)).layer(c).run(noted).await,
        };
        assert_eq!(report.unwrap().counts.acked, 1);
        assert_eq!(bench.seen.all(), NESTED, "way {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_layers_in_a_service_builder() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let second = std::time::Duration::from_secs(1);
    let stack = ServiceBuilder::new().layer(Retry::fixed(second).attempts(2)).layer(Timeout::new(second));
    let slow_once = async |Attempt(attempt): Attempt| {
        if attempt == 1 {
            std::future::pending::<()>().await;
        }
    };
    let report = bench.worker().await.layer(stack).max_messages(2).run(slow_once).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (1, 1), "Retry is outside and sees the time-out");
}
