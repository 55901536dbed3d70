//! `publish`.

use serde_json::json;
use swarrot::prelude::*;

use crate::support::{Place, on_brokers};

on_brokers!(arguments, lines, ndjson, an_exchange, refusals, repeats_at_a_rate, a_delay);

fn arguments(place: &Place) {
    let args = ["publish", &place.queue, "hello", "-H", "a=text", "-H", "n:=5", "--type", "greeting", "--id", "seven"];
    let ran = place.run(&args).expect_code(0);
    assert!(ran.out.contains("published 1 message in"), "{ran:?}");
    let got = place.run(&["get", &place.queue, "--json"]).expect_code(0).json();
    assert_eq!(got["body"], "hello");
    assert_eq!((&got["type"], &got["id"]), (&json!("greeting"), &json!("seven")));
    assert_eq!(got["headers"], json!({ "a": "text", "n": 5 }));
    place.ready(&place.queue, 0);
}

fn lines(place: &Place) {
    let text: Vec<String> = (0..3000).map(|n| format!("line {n}")).collect();
    let ran = place.run_with(&["publish", &place.queue, "--json"], &text.join("\n")).expect_code(0);
    assert_eq!((&ran.json()["published"], &ran.json()["failed"]), (&json!(3000), &json!(0)));
    let ran = place.run(&["get", &place.queue, "--max", "3000", "--wait", "30s", "--json"]).expect_code(0);
    assert_eq!(ran.each("body"), text);
}

fn ndjson(place: &Place) {
    let input = "{\"body\":\"a\",\"headers\":{\"h\":[1,{\"$bytes\":\"AP8=\"}]},\"id\":\"1\"}\n{\"json\":{\"x\":1}}\n{\"body_base64\":\"AP8=\"}\n";
    place.run_with(&["publish", &place.queue, "--ndjson", "--type", "t"], input).expect_code(0);
    let got = place.run(&["get", &place.queue, "--max", "3", "--json"]).expect_code(0).lines();
    assert_eq!(got[0]["headers"]["h"], json!([1, { "$bytes": "AP8=" }]));
    assert_eq!(got[0]["id"], "1");
    assert_eq!((&got[1]["body"], &got[1]["content_type"]), (&json!(r#"{"x":1}"#), &json!("application/json")));
    assert_eq!(got[2]["body_base64"], "AP8=");
    assert!(got.iter().all(|message| message["type"] == "t"), "{got:?}");
}

fn an_exchange(place: &Place) {
    let exchange = place.name("x");
    place.declare(Topology::new().exchange(Exchange::topic(&exchange)).queue(Queue::new(&place.queue)).bind(
        &exchange,
        &place.queue,
        "user.*",
    ));
    place.run(&["publish", "--exchange", &exchange, "--key", "user.new", "hi"]).expect_code(0);
    let got = place.run(&["get", &place.queue, "--json"]).expect_code(0).json();
    assert_eq!((&got["exchange"], &got["key"]), (&json!(exchange), &json!("user.new")));
    // No queue gets it.
    place.run(&["publish", "--exchange", &exchange, "--key", "order.new", "hi"]).expect_line(1, &["order.new"]);
}

fn refusals(place: &Place) {
    let input = "{\"body\":\"1\"}\n{\"body\":\"2\",\"key\":\"nowhere\"}\n{\"bdy\":\"3\"}\n{\"body\":\"4\"}\n";
    let ran = place.run_with(&["publish", &place.queue, "--ndjson", "--keep-going", "--json"], input).expect_code(5);
    let document = ran.json();
    assert_eq!((&document["published"], &document["failed"]), (&json!(2), &json!(2)));
    let lines: Vec<_> = document["failures"].as_array().expect("a list").iter().map(|f| f["line"].clone()).collect();
    assert_eq!(lines, [2, 3]);
    assert!(ran.err.contains("line 2: ") && ran.err.contains("line 3: ") && ran.err.contains("bdy"), "{ran:?}");

    // One at a time, so that what follows is not on its way yet.
    let ran = place.run_with(&["publish", &place.queue, "--ndjson", "--rate", "5"], input).expect_code(5);
    assert!(ran.out.contains("published 1 message in") && !ran.err.contains("line 3"), "{ran:?}");
}

fn repeats_at_a_rate(place: &Place) {
    let began = std::time::Instant::now();
    place.run(&["publish", &place.queue, "x", "--repeat", "21", "--rate", "20"]).expect_code(0);
    assert!(began.elapsed().as_millis() >= 950, "{:?}", began.elapsed());
    place.ready(&place.queue, 21);
    let ran = place.run(&["get", &place.queue, "--max", "21", "--json"]).expect_code(0);
    let mut ids = ran.each("id");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 21, "each has an id of its own");
}

fn a_delay(place: &Place) {
    let began = std::time::Instant::now();
    place.run(&["publish", &place.queue, "later", "--delay", "3s"]).expect_code(0);
    let mut got = place.run(&["get", &place.queue, "--wait", "100ms", "--json"]).expect_code(0);
    if got.out.is_empty() {
        got = place.run(&["get", &place.queue, "--wait", "20s", "--json"]).expect_code(0);
    }
    assert_eq!(got.json()["body"], "later");
    assert!(began.elapsed().as_secs() >= 3);
}
