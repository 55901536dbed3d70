//! Routers: which route a message takes, and what is refused when they are built or bound.

use std::error::Error as StdError;
use std::time::Duration;

use crate::support::{Bench, QUEUE, Seen};
use swarrot::prelude::*;
use swarrot::{Context, Handler, IntoHandler, Receipt, Router};

/// A route that notes its name and the body.
macro_rules! note {
    ($name:literal) => {
        async |State(seen): State<Seen>, body: String| seen.note(format!("{} {body}", $name))
    };
}

fn delivery(message_type: Option<&str>, key: &str, body: &'static str) -> Delivery {
    let mut message = Message::new(body);
    message.properties.message_type = message_type.map(str::to_owned);
    Delivery::new("q", Receipt::new(0, 1), message).routed("events", key)
}

/// Which route each of these takes, by message type and routing key.
async fn routes_of(router: Router, messages: &[(Option<&str>, &str)]) -> Vec<String> {
    let seen = Seen::default();
    let handler = router.into_handler(&Context::new().with_state(seen.clone())).unwrap();
    for (message_type, key) in messages {
        handler.handle(delivery(*message_type, key, "")).await.unwrap();
    }
    seen.all().iter().map(|note| note.trim().to_owned()).collect()
}

#[tokio::test]
async fn type_before_exact_key_before_patterns_in_order() {
    let router = Router::new()
        .routing_key("user.*", note!("user.*"))
        .routing_key("*.reset", note!("*.reset"))
        .routing_key("user.reset", note!("user.reset"))
        .routing_key("#.late", note!("#.late"))
        .message_type("reset", note!("type reset"))
        .fallback(note!("fallback"));
    let messages = [
        (Some("reset"), "user.reset"),
        (Some("other"), "user.reset"),
        (None, "user.reset"),
        (None, "user.added"),
        (None, "mail.reset"),
        (None, "a.b.c.late"),
        (None, "late"),
        (None, "a.b"),
        (Some("reset"), ""),
    ];
    let expected =
        ["type reset", "user.reset", "user.reset", "user.*", "*.reset", "#.late", "#.late", "fallback", "type reset"];
    assert_eq!(routes_of(router, &messages).await, expected);
}

#[tokio::test]
async fn the_error_of_a_message_without_a_route_names_it() {
    let router = Router::new().message_type("reset", async || {}).into_handler(&Context::new()).unwrap();
    let error = router.handle(delivery(Some("res\net"), "user.x", "")).await.unwrap_err();
    assert!(Permanent::is(&*error));
    let expected = r#"no route for message type "res\net" and routing key "user.x"; add one, or a fallback"#;
    assert_eq!(error.to_string(), expected);
    let error = router.handle(delivery(None, "user.x", "")).await.unwrap_err();
    let expected = r#"no route for routing key "user.x", and the message has no type; add one, or a fallback"#;
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn without_a_route_a_message_is_parked_at_once() {
    let bench = Bench::new().await;
    bench.publisher.publish_one(Outgoing::new(QUEUE, Message::new("").message_type("odd"))).await.unwrap();
    let worker = bench.worker().await.layer(Retry::fixed(Duration::from_secs(1))).stop_when_empty();
    let report = worker.run(Router::new().message_type("even", note!("even"))).await.unwrap();
    assert_eq!((report.counts.rejected, report.counts.retried), (1, 0));
    let reason = bench.parked().await[0].message().failure().unwrap().reason.unwrap();
    assert!(reason.starts_with("no route for message type \"odd\""), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_retried_message_takes_the_same_route() {
    let bench = Bench::new().await;
    let topology = Topology::new().exchange(Exchange::topic("events")).bind("events", QUEUE, "#");
    bench.broker.declare(&topology).await.unwrap();
    let events = bench.broker.publisher("events", PublisherOptions::default()).await.unwrap();
    events.publish_one(Outgoing::new("user.reset", Message::new("m"))).await.unwrap();
    let fails_once = async |State(seen): State<Seen>, Attempt(attempt): Attempt| {
        seen.note(format!("attempt {attempt}"));
        if attempt == 1 { Err("not yet") } else { Ok(()) }
    };
    let router = Router::new().routing_key("user.*", fails_once.layer(Retry::fixed(Duration::from_secs(1))));
    let report = bench.worker().await.max_messages(2).run(router).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (1, 1));
    assert_eq!(bench.seen.all(), ["attempt 1", "attempt 2"]);
}

/// A layer that notes when it is entered.
#[derive(Clone)]
struct Mark(&'static str);

#[derive(Clone)]
struct Marked<H>(Mark, H);

impl<H> tower_layer::Layer<H> for Mark {
    type Service = Marked<H>;

    fn layer(&self, inner: H) -> Marked<H> {
        Marked(self.clone(), inner)
    }
}

impl<H: Handler> Handler for Marked<H> {
    async fn handle(&self, mut delivery: Delivery) -> Result<Outcome, BoxError> {
        let before = delivery.extension::<String>().map_or_else(String::new, |marks| format!("{marks} "));
        delivery.insert_extension(before + self.0.0);
        self.1.handle(delivery).await
    }
}

async fn marks(Extension(marks): Extension<String>, State(seen): State<Seen>) {
    seen.note(marks.as_str());
}

#[tokio::test]
async fn layers_of_a_router_are_around_those_of_its_routes() {
    let inner = Router::new().message_type("b", marks.layer(Mark("route"))).layer(Mark("inner"));
    let router = Router::new()
        .layer(Mark("first"))
        .message_type("a", marks.layer(Mark("one")).layer(Mark("two")))
        .routing_key("nested.#", inner)
        .layer(Mark("second"))
        .fallback(marks);
    let seen = Seen::default();
    let handler = router.into_handler(&Context::new().with_state(seen.clone())).unwrap();
    for (message_type, key) in [(Some("a"), ""), (Some("b"), "nested.x"), (Some("b"), "")] {
        handler.handle(delivery(message_type, key, "")).await.unwrap();
    }
    assert_eq!(seen.all(), ["first second one two", "first second inner route", "first second"]);
}

#[tokio::test]
async fn a_nested_router_has_a_fallback_of_its_own() {
    let inner = Router::new().message_type("b", note!("b"));
    let router = Router::new().routing_key("nested.#", inner).fallback(note!("fallback"));
    let handler = router.into_handler(&Context::new().with_state(Seen::default())).unwrap();
    let error = handler.handle(delivery(Some("c"), "nested.x", "")).await.unwrap_err();
    assert!(error.to_string().starts_with("no route for message type \"c\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_route_is_an_error_for_its_layers() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let panics_once = async |Attempt(attempt): Attempt| assert!(attempt > 1, "not yet");
    let router = Router::new().routing_key("#", panics_once.layer(Retry::fixed(Duration::from_secs(1))));
    let report = bench.worker().await.max_messages(2).run(router).await.unwrap();
    assert_eq!((report.counts.retried, report.counts.acked), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_any_route_lacks_keeps_the_worker_from_starting() {
    let lacking = async |State(_): State<u16>| {};
    let nested = |router: Router| Router::new().message_type("outer", router);
    for router in [
        Router::new().message_type("reset", async || {}).message_type("lacking", lacking),
        Router::new().routing_key("lacking", lacking),
        Router::new().routing_key("lacking.#", lacking),
        Router::new().fallback(lacking),
        nested(Router::new().message_type("lacking", lacking.layer(Timeout::new(Duration::from_secs(1))))),
    ] {
        let bench = Bench::new().await;
        let error = bench.worker().await.run(router).await.unwrap_err();
        let source = error.source().expect("it says why").to_string();
        assert!(source.starts_with("route \"") && source.contains("a handler asks for State<u16>"), "{source}");
    }
}

/// What building a router says when it panics.
fn panic_of(build: impl FnOnce() -> Router + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(build).expect_err("it cannot be built");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[test]
fn routes_that_conflict_are_refused_when_they_are_added() {
    let router = || Router::new().message_type("a", async || {}).routing_key("k", async || {}).fallback(async || {});
    let patterns = || Router::new().routing_key("user.#", async || {});
    assert_eq!(panic_of(|| router().message_type("a", async || {})), "there are two routes for the message type \"a\"");
    assert_eq!(panic_of(|| router().routing_key("k", async || {})), "there are two routes for the routing key \"k\"");
    assert_eq!(panic_of(|| router().fallback(async || {})), "there are two fallbacks");
    let twice = panic_of(|| patterns().routing_key("user.#", async || {}));
    assert_eq!(twice, "there are two routes for the routing key \"user.#\"");
    let hidden = panic_of(|| patterns().routing_key("user.*.reset", async || {}));
    assert_eq!(
        hidden,
        "the route for \"user.*.reset\" can never be reached: \"user.#\", added before it, takes all that it matches; add it first"
    );
    // One that takes some of what another one matches is fine, and so is an exact key, which comes first anyway.
    drop(patterns().routing_key("*.reset", async || {}).routing_key("user.reset", async || {}));
}
