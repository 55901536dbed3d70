//! `top`, driven in a pseudo-terminal.

use swarrot::topology::{Queue, Topology};

use crate::support::{Place, on_brokers, until};
use crate::terminal::Terminal;

on_brokers!(peeks_retries_and_purges, retries_what_others_parked, as_json, ends_by_a_signal);

/// Columns, counted from the queue's name.
const READY: usize = 1;
const DEAD: usize = 4;

fn peeks_retries_and_purges(place: &Place) {
    place.publish(&["bad"]);
    place.run(&["work", &place.queue, "--max-messages", "1", "--exec", "false"]).expect_code(3);
    place.ready(&place.name("dead"), 1);
    let other = place.name("other");
    place.declare(Topology::new().queue(Queue::new(&other)));
    for body in ["first", "second"] {
        place.run(&["publish", &other, body]).expect_code(0);
    }
    place.ready(&other, 2);

    let mut terminal = Terminal::start(place, &["top", &place.queue, &other, "--every", "200ms"]);
    terminal.shows("swarrot top");
    terminal.shows(&other);
    // The dead letter is shown, and goes back after a yes.
    terminal.press("d");
    terminal.shows("exit code 1");
    terminal.press("q");
    // While it is looked at, it is in the hands of `top` where a broker cannot show it otherwise.
    terminal.has(&place.queue, DEAD, "1");
    terminal.press("r");
    terminal.shows("Put 1 dead letter back");
    terminal.press("n");
    place.ready(&place.name("dead"), 1);
    terminal.has(&place.queue, DEAD, "1");
    terminal.press("r");
    terminal.shows("Put 1 dead letter back");
    terminal.press("y");
    terminal.shows("retried 1 dead letter");
    place.ready(&place.queue, 1);
    // The other queue: look, then empty it.
    terminal.press("\x1b[B");
    terminal.press("p");
    terminal.shows("second");
    terminal.press("q");
    terminal.has(&other, READY, "2");
    terminal.press("x");
    terminal.shows("Delete 2 messages");
    terminal.press("y");
    terminal.shows("2 messages deleted");
    place.ready(&other, 0);
    terminal.press("q");
    assert_eq!(terminal.code(), 0);
}

/// Its attempts begin anew too, although nothing says where it failed.
fn retries_what_others_parked(place: &Place) {
    let foreign = "{\"body\":\"foreign\",\"headers\":{\"swarrot_retry_attempts\":3}}\n";
    place.run_with(&["dead", "import", &place.queue], foreign).expect_code(0);
    place.ready(&place.name("dead"), 1);
    let mut terminal = Terminal::start(place, &["top", &place.queue, "--every", "200ms"]);
    terminal.has(&place.queue, DEAD, "1");
    terminal.press("r");
    terminal.shows("Put 1 dead letter back");
    terminal.press("y");
    terminal.shows("retried 1 dead letter");
    terminal.press("q");
    assert_eq!(terminal.code(), 0);
    let back = place.run(&["get", &place.queue, "--json"]).expect_code(0).json();
    assert_eq!((&back["body"], &back["attempt"]), (&"foreign".into(), &1.into()), "{back}");
}

fn ends_by_a_signal(place: &Place) {
    let mut terminal = Terminal::start(place, &["top", &place.queue]);
    terminal.shows("swarrot top");
    let pid = terminal.child.process_id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill runs").success());
    assert_eq!(terminal.code(), 4);
    // What was on the screen before is there again.
    until("it is read to the end", || !terminal.is_alternate());
}

fn as_json(place: &Place) {
    place.publish(&["a"]);
    place.ready(&place.queue, 1);
    let ran = place.run(&["top", &place.queue, "--json", "--times", "2", "--every", "100ms"]).expect_code(0);
    let looks = ran.lines();
    assert_eq!(looks.len(), 2);
    assert_eq!(looks[1]["queues"][0]["ready"], 1);
    place.run(&["top", &place.queue]).expect_line(2, &["terminal", "--json"]);
    place.run(&["top", "nowhere", "--json"]).expect_line(1, &["nowhere"]);
    let ran = place.run(&["top", &place.queue, "--json", "--times", "1", "--worker", "127.0.0.1:1"]).expect_code(0);
    assert!(ran.json()["errors"][0].as_str().is_some_and(|line| line.contains("127.0.0.1:1")), "{ran:?}");
}
