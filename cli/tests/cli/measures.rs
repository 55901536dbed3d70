//! `bench` and `tail`.

use swarrot::topology::{Exchange, Topology};

use crate::support::{Place, on_brokers, run, until};

on_brokers!(bench, tail);

fn bench(place: &Place) {
    let args = ["bench", "--messages", "500", "--time", "500ms", "--size", "100", "--classic", "--json"];
    let figures = place.run(&args).expect_code(0).json();
    for key in ["publish_per_second", "receive_per_second"] {
        assert!(figures[key].as_f64() > Some(0.0), "{figures}");
    }
    let through = &figures["through_microseconds"];
    assert!(through["p50"].as_u64() > Some(0) && through["p50"].as_u64() <= through["p100"].as_u64(), "{figures}");
    let text = place.run(&["bench", "--messages", "300", "--time", "300ms"]).expect_code(0).out;
    assert!(text.contains("300 messages of 1024 bytes") && text.contains("99.9 %") && text.contains('█'), "{text}");
}

#[test]
fn bench_with_too_large_bodies() {
    for size in ["17M", "17179869183G"] {
        run(&["bench", "memory://", "--size", size]).expect_line(2, &["limit", "--size"]);
    }
}

#[test]
fn bench_in_memory() {
    run(&["bench", "memory://", "--messages", "1000", "--time", "200ms", "--json"]).expect_code(0);
}

fn tail(place: &Place) {
    let exchange = place.name("x");
    place.declare(
        Topology::new().exchange(Exchange::topic(&exchange)).queue(swarrot::topology::Queue::new(&place.queue)).bind(
            &exchange,
            &place.queue,
            "#",
        ),
    );
    if place.is_redis() {
        place.run(&["tail", &exchange]).expect_line(1, &["peek"]);
        return;
    }
    let mut running = place.start(&["tail", &exchange, "--key", "user.*", "--max", "2", "--json"]);
    let publish = |key: &str| place.run(&["publish", "--exchange", &exchange, "--key", key, key]).expect_code(0);
    // It is not told when it listens: messages are published until two have been shown.
    until("two are shown", || {
        publish("user.a");
        publish("order.b");
        running.child.try_wait().expect("it can be waited for").is_some()
    });
    let ran = running.end().expect_code(0);
    assert_eq!(ran.each("key"), ["user.a", "user.a"]);
    // The queue's own messages are all there.
    assert!(place.counts(&place.queue, |_| true)["ready"].as_u64() >= Some(4));

    let running = place.start(&["tail", &exchange]);
    running.signal("TERM");
    place.run(&["tail", "no-such-exchange"]).expect_line(1, &["no-such-exchange"]);
    drop(running);
}
