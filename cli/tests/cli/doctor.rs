//! `doctor`.

use crate::support::{Place, on_brokers, run};

on_brokers!(tells_of_the_broker, looks_at_queues);

fn tells_of_the_broker(place: &Place) {
    let findings = place.run(&["doctor", "--json"]).expect_code(0).json();
    let product = if place.is_redis() { "Redis" } else { "RabbitMQ" };
    assert_eq!(findings["product"], product);
    assert!(findings["ping_milliseconds"].as_f64() > Some(0.0), "{findings}");
    assert_eq!(findings["capabilities"][0]["can"]["dead letters"], "yes");
    let text = place.run(&["doctor"]).expect_code(0).out;
    assert!(text.starts_with(product) && text.contains("look without taking"), "{text}");
    // The URL may stand where one looks for it, and its password is not shown.
    let ran = run(&["doctor", &place.url]).expect_code(0);
    assert!(!ran.out.contains("guest:guest"), "{ran:?}");
}

fn looks_at_queues(place: &Place) {
    place.publish(&["a", "b"]);
    place.ready(&place.queue, 2);
    let dead = place.name("dead");
    let args = ["doctor", "--queue", &place.queue, "--queue", &dead, "--strict", "--json"];
    let findings = place.run(&args).expect_code(1).json();
    let warnings = findings["warnings"].to_string();
    assert!(warnings.contains("2 messages and no worker"), "{warnings}");
    assert!(warnings.contains(&format!("{dead} has no dead-letter queue")), "{warnings}");
    place.run(&["doctor", "--queue", "nowhere"]).expect_line(1, &["nowhere"]);
}

#[test]
fn in_memory() {
    let findings = run(&["doctor", "memory://", "--json"]).expect_code(0).json();
    assert_eq!(findings["product"], "swarrot-memory");
}
