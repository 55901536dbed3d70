//! `count`, `peek`, `get`, `purge`, `delete`.

use serde_json::json;

use crate::support::{Place, on_brokers};

on_brokers!(count, count_all, peek, get, purge, delete);

fn count(place: &Place) {
    place.publish(&["a", "b"]);
    place.ready(&place.queue, 2);
    let counts = place.run(&["count", &place.queue, "--json"]).expect_code(0).json();
    assert_eq!((&counts[0]["queue"], &counts[0]["dead"]), (&json!(place.queue), &json!(0)));
    let text = place.run(&["count", &place.queue]).expect_code(0).out;
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["queue", "ready", "unsettled", "delayed", "dead", "providers"]);
    assert_eq!(words[1][..2], [place.queue.as_str(), "2"]);
}

fn count_all(place: &Place) {
    let ran = place.run(&["count", "--json"]);
    if !place.is_redis() {
        ran.expect_line(1, &["AMQP does not tell which queues there are", "name them"]);
        place.run(&["top", "--json"]).expect_line(1, &["name them"]);
        return;
    }
    let counts = ran.expect_code(0).json();
    let names: Vec<_> = counts.as_array().expect("a list").iter().map(|count| count["queue"].as_str()).collect();
    assert!(names.contains(&Some(place.queue.as_str())), "{names:?}");
    assert!(!names.contains(&Some(place.name("dead").as_str())), "its number is with its queue: {names:?}");
    let looked = place.run(&["top", "--json", "--times", "1"]).expect_code(0).json();
    let shown = looked["queues"].as_array().expect("a list");
    assert!(shown.iter().any(|row| row["queue"] == place.queue.as_str()), "{looked}");
}

fn peek(place: &Place) {
    place.publish(&["first", "second", "third"]);
    place.ready(&place.queue, 3);
    for _ in 0..2 {
        let seen = place.run(&["peek", &place.queue, "--max", "2", "--json"]).expect_code(0);
        assert_eq!(seen.each("body"), ["first", "second"]);
        place.ready(&place.queue, 3);
    }
    let text = place.run(&["peek", &place.queue, "--max", "1"]).expect_code(0).out;
    assert!(text.contains("\nfirst\n") && text.starts_with("id "), "{text}");
}

fn get(place: &Place) {
    place.publish(&["one", "two", "three"]);
    assert_eq!(place.run(&["get", &place.queue, "--raw"]).expect_code(0).out, "one");
    let ran = place.run(&["get", &place.queue, "--max", "5", "--json"]).expect_code(0);
    assert_eq!(ran.each("body"), ["two", "three"]);
    place.ready(&place.queue, 0);
    // Nobody reads: it stays.
    place.publish(&["stays"]);
    place.start_unread(&["get", &place.queue]).end().expect_code(4);
    place.ready(&place.queue, 1);
}

fn purge(place: &Place) {
    place.publish(&["a", "b", "c"]);
    place.ready(&place.queue, 3);
    place.run(&["purge", &place.queue]).expect_line(2, &["3 messages", "--yes"]);
    place.ready(&place.queue, 3);
    let ran = place.run(&["purge", &place.queue, "--yes", "--json"]).expect_code(0);
    assert_eq!(ran.json(), json!({ "queue": place.queue, "purged": 3 }));
    place.ready(&place.queue, 0);
}

fn delete(place: &Place) {
    place.run(&["delete", &place.queue]).expect_line(2, &["--yes"]);
    place.run(&["delete", &place.queue, "--yes"]).expect_code(0);
    place.run(&["count", &place.queue]).expect_line(1, &[&place.queue]);
    let dead = place.name("dead");
    place.run(&["count", &dead]).expect_code(0);
    place.run(&["delete", &dead, "--yes"]).expect_code(0);
    place.run(&["count", &dead]).expect_code(1);
}
