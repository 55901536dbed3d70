//! What is told beside a file goes before it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::config::{Changes, Loader, OptionValue};
use swarrot::prelude::*;
use tokio::time::Instant;

const FILE: &str = r#"
    brokers.main = "memory://"
    topology.main.queues.mails = {}
    [workers.mails]
    queue = "mails"
    max_messages = 1
    stop_when_empty = true
    layers = [
        { layer = "retry", exponential = { first = "10s", max = "1h" }, attempts = 2 },
        { layer = "instant_retry", attempts = 2, delay = "1s" },
    ]
    [workers.bare]
    queue = "mails"
    max_messages = 1
"#;

/// The seconds at which a handler that always fails is called for one message, up to its first retry or its end.
async fn calls(file: &str, worker: &str, changes: Changes) -> Vec<u64> {
    let config = Loader::new().change(worker, changes).parse(file).expect("right");
    let broker = config.connect("main").await.expect("connects");
    config.declare("main").await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    publisher.publish_one(Outgoing::new("mails", Message::new("x"))).await.expect("publishes");
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (noted, start) = (Arc::clone(&calls), Instant::now());
    let fails = move |_: Delivery| {
        noted.lock().expect("no panic").push(start.elapsed().as_secs());
        async { Err::<(), BoxError>("it always fails".into()) }
    };
    config.worker(worker).await.expect("a worker").run(fails).await.expect("it ends");
    config.close().await.expect("closes");
    calls.lock().expect("no panic").clone()
}

#[tokio::test(start_paused = true)]
async fn an_option_is_changed_and_all_else_stays() {
    assert_eq!(calls(FILE, "mails", Changes::new()).await, [0, 1]);
    let changes = Changes::new().option("--instant-retry-attempts", "instant_retry", "attempts", "4");
    assert_eq!(calls(FILE, "mails", changes).await, [0, 1, 2, 3]);
    let changes = Changes::new().option("-d", "instant_retry", "delay", "7s").layer("-i", "instant_retry");
    assert_eq!(calls(FILE, "mails", changes).await, [0, 7], "a layer that is there stays as it is");
}

#[tokio::test(start_paused = true)]
async fn a_layer_is_left_out_or_taken_anew() {
    let changes = Changes::new().without_layer("--no-instant-retry", "instant_retry");
    assert_eq!(calls(FILE, "mails", changes).await, [0]);
    let changes = Changes::new().layer_anew("--instant-retry", "instant_retry");
    assert_eq!(calls(FILE, "mails", changes).await, [0, 2, 4], "its defaults");
    // All of the retry's delays go, so that the new one is the only one.
    let changes = Changes::new()
        .without("--no-max-messages", "max_messages")
        .without_layer("--no-instant-retry", "instant_retry")
        .layer_anew("--retry", "retry")
        .option("--retry", "retry", "list", OptionValue::List(vec!["0s".into(), "0s".into()]));
    assert_eq!(calls(FILE, "mails", changes).await, [0, 0, 0]);
    let changes = Changes::new()
        .without("--no-max-messages", "max_messages")
        .without_layer("--no-instant-retry", "instant_retry")
        .option("--retry-first", "retry", "exponential.first", "0s");
    assert_eq!(calls(FILE, "mails", changes).await, [0, 0], "a key within a table");
}

#[tokio::test(start_paused = true)]
async fn a_layer_is_added_where_it_belongs() {
    let changes =
        Changes::new().option("-a", "instant_retry", "attempts", "3").option("-d", "instant_retry", "delay", "1s");
    assert_eq!(calls(FILE, "bare", changes.clone()).await, [0, 1, 2], "a worker without layers");
    // Within the retry, which sees one failure of three calls; outside of it, there would be a retry after each.
    let file = FILE
        .replace("layers = [", "layers = [ { layer = \"timeout\", limit = \"1h\" },")
        .replace("{ layer = \"instant_retry\", attempts = 2, delay = \"1s\" },", "");
    assert_eq!(calls(&file, "mails", changes).await, [0, 1, 2]);
    // A time-out outside of these calls would end the second one.
    let slow =
        FILE.replace("[workers.bare]", "[workers.bare]\nlayers = [{ layer = \"instant_retry\", delay = \"5s\" }]");
    let changes = Changes::new().option("--timeout", "timeout", "limit", "7s");
    assert_eq!(calls(&slow, "bare", changes).await, [0, 5, 10]);
}

#[test]
fn mistakes_are_told_by_their_origin() {
    for (changes, expected) in [
        (
            Changes::new().option("--timeout", "timeout", "limit", "soon"),
            "--timeout must be a duration such as \"30s\", \"5m\" or \"1h 30m\", not \"soon\"",
        ),
        (
            Changes::new().option("--instant-retry-attempts", "instant_retry", "attempts", "0"),
            "--instant-retry-attempts must be a whole number from 1 to 4294967295, not \"0\"",
        ),
        (
            Changes::new().option("--timeout", "timeout", "limit", "0s"),
            "--timeout: no handler ends within no time; give it longer",
        ),
        (
            Changes::new().layer("--tmieout", "tmieout"),
            "--tmieout: there is no layer \"tmieout\"; did you mean \"timeout\"?",
        ),
        (
            Changes::new().option("--retry-attempt", "retry", "attempt", "3"),
            "--retry-attempt: unknown key \"attempt\"; did you mean \"attempts\"?",
        ),
        // A dollar is a dollar: it reads no variable.
        (
            Changes::new().option("--max-age", "max_age", "limit", "${HOME}"),
            "--max-age must be a duration such as \"30s\", \"5m\" or \"1h 30m\", not what \"$${HOME}\" stands for",
        ),
    ] {
        let error = Loader::new().change("mails", changes).parse(FILE).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.problems().len(), 1);
    }
    // One of the file keeps its place, and a worker that is not there has nothing to change.
    let changes = Changes::new().option("--timeout", "timeout", "limit", "soon");
    Loader::new().change("others", changes).parse(FILE).expect("right");
    let file = FILE.replace("queue = \"mails\"", "queue = 5");
    let changes = Changes::new().option("--timeout", "timeout", "limit", "5s");
    let error = Loader::new().change("mails", changes).parse(&file).expect_err("a wrong queue").to_string();
    assert!(error.starts_with("line 5, column 13: \"queue\" must be"), "{error}");
}

#[test]
fn layers_are_listed_from_the_outside_in() {
    let layers: Vec<_> = Loader::new().layers().into_iter().map(|(name, _)| name).collect();
    let place = |layer| layers.iter().position(|name| *name == layer).unwrap_or_else(|| panic!("{layer}: {layers:?}"));
    assert!(place("max_age") < place("retry") && place("retry") < place("timeout"), "{layers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_a_change_adds_works() {
    let changes = Changes::new().option("--timeout", "timeout", "limit", "3s");
    let config = Loader::new().change("bare", changes).parse(FILE).expect("right");
    let broker = config.connect("main").await.expect("connects");
    config.declare("main").await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    publisher.publish_one(Outgoing::new("mails", Message::new("x"))).await.expect("publishes");
    let began = Instant::now();
    let slow = |_: Delivery| tokio::time::sleep(Duration::from_secs(60));
    let report = config.worker("bare").await.expect("a worker").run(slow).await.expect("it ends");
    assert_eq!((report.counts.errors, began.elapsed().as_secs()), (1, 3));
}
