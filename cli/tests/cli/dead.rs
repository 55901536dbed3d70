//! `dead` and `move`.

use std::fs;
use std::io::Write as _;
use std::num::{NonZeroU16, NonZeroUsize};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use swarrot::prelude::*;

use crate::support::{Place, on_brokers, until};

on_brokers!(
    list_and_show,
    retry_one_or_some,
    retry_what_fails_again,
    drop_some,
    export_and_import,
    import_of_no_text,
    import_ends_by_a_signal,
    move_all,
    move_some,
    move_no_more_than_asked,
    move_from_a_queue_that_vanishes,
    a_move_that_is_killed,
);

/// Parks messages with these bodies; each is of the type of its first letter and fails with its body as the reason.
fn park(place: &Place, bodies: &[&str]) -> String {
    let line = |body: &&str| json!({ "id": format!("id-{body}"), "body": body, "type": &body[..1] }).to_string();
    let lines: Vec<String> = bodies.iter().map(line).collect();
    place.run_with(&["publish", &place.queue, "--ndjson"], &lines.join("\n")).expect_code(0);
    let max = bodies.len().to_string();
    let args = ["work", &place.queue, "--max-messages", &max, "--exec", "sh", "-c", "cat >&2; exit 1"];
    place.run(&args).expect_code(3);
    let dead = place.name("dead");
    place.ready(&dead, bodies.len().try_into().expect("few"));
    dead
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn list_and_show(place: &Place) {
    let dead = park(place, &["a1", "b2", "a3"]);
    for name in [&place.queue, &dead] {
        let ran = place.run(&["dead", "list", name, "--json"]).expect_code(0);
        assert_eq!(ran.each("id"), ["id-a1", "id-b2", "id-a3"]);
    }
    let first = place.run(&["dead", "list", &place.queue, "--json"]).expect_code(0).lines()[0].clone();
    assert_eq!(first["failure"]["reason"], "exit code 1: a1");
    assert_eq!((&first["failure"]["attempts"], &first["failure"]["source"]), (&json!(1), &json!(place.queue)));
    for when in ["first", "last"] {
        let time = first["failure"][when].as_str().expect("a time");
        assert!(
            humantime::parse_rfc3339(time).is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago.as_secs() < 60)),
            "{time}"
        );
    }
    let some = place.run(&["dead", "list", &place.queue, "--json", "--filter", "type=a", "--filter", "reason~3"]);
    assert_eq!(some.expect_code(0).each("id"), ["id-a3"]);
    let text = place.run(&["dead", "list", &place.queue]).expect_code(0).out;
    assert!(text.lines().count() == 4 && text.contains("exit code 1: b2"), "{text}");
    assert!(text.lines().skip(1).all(|line| line.contains("s ago  ") || line.contains("now  ")), "{text}");

    let shown = place.run(&["dead", "show", &place.queue, "id-b2"]).expect_code(0).out;
    assert!(
        shown.contains("failed first     20") && shown.contains("header swarrot_reason") && shown.ends_with("\nb2\n"),
        "{shown}"
    );
    place.run(&["dead", "show", &place.queue, "id-x"]).expect_line(1, &["id-x"]);
    place.ready(&dead, 3);
}

fn retry_one_or_some(place: &Place) {
    let dead = park(place, &["a1", "b2", "a3", "b4", "b5"]);
    place.run(&["dead", "retry", &place.queue]).expect_line(2, &["--all"]);
    place.run(&["dead", "retry", &place.queue, "--id", "id-x"]).expect_line(1, &["id-x"]);
    place.ready(&dead, 5);
    let ran = place.run(&["dead", "retry", &place.queue, "--id", "id-b4", "--json"]).expect_code(0);
    assert_eq!(ran.json()["retried"], 1);
    place.ready(&dead, 4);
    let ran = place.run(&["dead", "retry", &place.queue, "--filter", "type=a", "--json"]).expect_code(0);
    assert_eq!((&ran.json()["retried"], &ran.json()["kept"]), (&json!(2), &json!(2)));
    place.ready(&dead, 2);
    let back = place.run(&["get", &place.queue, "--max", "9", "--json"]).expect_code(0);
    // What RabbitMQ is given back may lose its place.
    assert_eq!(sorted(back.each("body")), ["a1", "a3", "b4"]);
    for message in back.lines() {
        assert_eq!(message["attempt"], 1, "the attempts begin anew");
        assert!(
            message["failure"]["reason"].as_str().is_some_and(|reason| reason.contains("exit code 1")),
            "{message}"
        );
    }
    let left = place.run(&["dead", "list", &place.queue, "--json"]).expect_code(0);
    assert_eq!(sorted(left.each("id")), ["id-b2", "id-b5"]);
    // Elsewhere, one at a time.
    let other = place.name("other");
    place.declare(swarrot::topology::Topology::new().queue(swarrot::topology::Queue::new(&other)));
    place.run(&["dead", "retry", &place.queue, "--all", "--to", &other, "--max", "1", "--rate", "9"]).expect_code(0);
    place.ready(&other, 1);
    place.ready(&dead, 1);
}

fn retry_what_fails_again(place: &Place) {
    let bodies: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let dead = park(place, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let worker = place.start(&["work", &place.queue, "--exec", "sh", "-c", "exit 1"]);
    // It ends, although each comes back at once.
    let ran = place.run(&["dead", "retry", &place.queue, "--all", "--rate", "100", "--json"]).expect_code(0);
    assert_eq!(ran.json()["retried"], 40);
    place.ready(&dead, 40);
    worker.signal("TERM");
    worker.end().expect_code(4);
}

fn drop_some(place: &Place) {
    let dead = park(place, &["a1", "b2", "a3"]);
    place.run(&["dead", "drop", &place.queue, "--all"]).expect_line(2, &["--yes", "3 messages"]);
    let ran = place.run(&["dead", "drop", &place.queue, "--filter", "type=a", "--yes", "--json"]).expect_code(0);
    assert_eq!((&ran.json()["dropped"], &ran.json()["kept"]), (&json!(2), &json!(1)));
    place.ready(&dead, 1);
    let ran = place.run(&["dead", "drop", &place.queue, "--id", "id-b2", "--id", "id-a1", "--yes"]).expect_code(5);
    assert!(ran.err.contains("id-a1"), "{ran:?}");
    place.ready(&dead, 0);
}

fn export_and_import(place: &Place) {
    let dead = park(place, &["a1", "b2"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dead.ndjson");
    let file = file.to_str().expect("text");
    // What was looked at is back a moment later, and not always in its place.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    place.run(&["dead", "export", &place.queue, file]).expect_code(0);
    place.run(&["dead", "export", &place.queue, file]).expect_line(1, &["dead.ndjson"]);
    place.ready(&dead, 2);
    let before = place.run(&["dead", "export", &place.queue]).expect_code(0);
    assert_eq!(sorted(&before.out), sorted(&fs::read_to_string(file).expect("the file")));
    place.ready(&dead, 2);

    place.run(&["dead", "drop", &place.queue, "--all", "--yes"]).expect_code(0);
    let ran = place.run(&["dead", "import", &place.queue, file, "--json"]).expect_code(0);
    assert_eq!(ran.json()["imported"], 2);
    place.ready(&dead, 2);
    let after = place.run(&["dead", "export", &place.queue]).expect_code(0);
    assert_eq!(sorted(&after.out), sorted(&before.out), "as they were");
    // And they can be retried.
    place.ready(&dead, 2);
    place.run(&["dead", "retry", &place.queue, "--all"]).expect_code(0);
    let mut bodies = place.run(&["get", &place.queue, "--max", "2", "--json"]).each("body");
    bodies.sort_unstable();
    assert_eq!(bodies, ["a1", "b2"]);

    let ran = place.run_with(&["dead", "import", &place.queue], "{\"body\":\"x\"}\nno json\n");
    ran.expect_line(1, &["line 2", "1 message imported, up to line 1"]);
}

/// What was read before is imported, and told.
fn import_of_no_text(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dead.ndjson");
    fs::write(&file, b"{\"body\":\"a\"}\n{\"body\":\"b\"}\n{\"body\":\"\xff\"}\n{\"body\":\"c\"}\n").expect("writes");
    let ran = place.run(&["dead", "import", &place.queue, file.to_str().expect("text")]);
    ran.expect_line(1, &["line 3", "2 messages imported, up to line 2"]);
    place.ready(&place.name("dead"), 2);
    // What cannot be read at all.
    let folder = folder.path().to_str().expect("text");
    place
        .run(&["dead", "import", &place.queue, folder])
        .expect_line(1, &["line 1", "cannot be read", "0 messages imported"]);
}

/// While it waits for more to read.
fn import_ends_by_a_signal(place: &Place) {
    let mut running = place.start_with(&["dead", "import", &place.queue, "--json"], Stdio::piped());
    let mut stdin = running.child.stdin.take().expect("its input");
    stdin.write_all(b"{\"body\":\"a\"}\n").expect("it reads");
    place.ready(&place.name("dead"), 1);
    running.signal("TERM");
    let ran = running.end().expect_code(4);
    assert_eq!((&ran.json()["imported"], &ran.json()["last_line"]), (&json!(1), &json!(1)));
    drop(stdin);
}

/// One in the middle is refused: what is behind it is there all the same, and is not to be imported again.
#[test]
fn an_import_says_all_that_it_did() {
    let place = Place::redis("an_import_says_all_that_it_did");
    // Redis knows no time to live.
    let lines = "{\"body\":\"a\"}\n{\"body\":\"b\",\"ttl_ms\":5}\n{\"body\":\"c\"}\n";
    let ran = place.run_with(&["dead", "import", &place.queue], lines);
    // The third line may have been read in time to go with the others.
    let (imported, said) = if ran.err.contains("up to line 3") {
        (2, "2 messages imported, up to line 3")
    } else {
        (1, "1 message imported, up to line 2")
    };
    ran.expect_line(1, &["line 2", said]);
    place.ready(&place.name("dead"), imported);
}

/// RabbitMQ does not say how many messages others hold.
#[test]
fn an_export_says_what_it_did_not_see() {
    let place = Place::redis("an_export_says_what_it_did_not_see");
    let dead = park(&place, &["a1", "b2", "a3"]);
    place.on_broker(async |broker| {
        let holder =
            broker.provider(&dead, ProviderOptions::default().prefetch(NonZeroU16::MIN)).await.expect("a provider");
        let held = holder.receive(NonZeroUsize::MIN, Duration::from_secs(20)).await.expect("receives");
        assert_eq!(held.len(), 1);
        // The program runs on threads of its own.
        let ran = tokio::task::block_in_place(|| place.run(&["dead", "export", &place.queue]).expect_code(5));
        assert_eq!(ran.lines().len(), 2);
        assert!(ran.err.contains("1 message not seen"), "{ran:?}");
        let ran =
            tokio::task::block_in_place(|| place.run(&["dead", "drop", &place.queue, "--all", "--yes", "--json"]));
        assert_eq!(ran.expect_code(5).json()["not_seen"], 1);
    });
    place.ready(&dead, 1);
}

fn other(place: &Place) -> String {
    let other = place.name("other");
    place.declare(swarrot::topology::Topology::new().queue(swarrot::topology::Queue::new(&other)));
    other
}

fn move_all(place: &Place) {
    let other = other(place);
    let bodies: Vec<String> = (0..700).map(|n| format!("m{n}")).collect();
    place.publish(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    place.run(&["move", &place.queue, "nowhere"]).expect_line(1, &["nowhere"]);
    place.run(&["move", &place.queue, &place.queue]).expect_line(2, &["same"]);
    let ran = place.run(&["move", &place.queue, &other, "--json"]).expect_code(0);
    assert_eq!((&ran.json()["moved"], &ran.json()["failed"]), (&json!(700), &json!(0)));
    place.ready(&place.queue, 0);
    let there = place.run(&["get", &other, "--max", "700", "--json"]).expect_code(0);
    assert_eq!(there.each("body"), bodies);
}

fn move_some(place: &Place) {
    let other = other(place);
    for (body, tenant) in [("1", "7"), ("2", "8"), ("3", "7"), ("4", "7")] {
        place.run(&["publish", &place.queue, body, "-H", &format!("tenant:={tenant}")]).expect_code(0);
    }
    place.ready(&place.queue, 4);
    let ran = place.run(&["move", &place.queue, &other, "--filter", "tenant=7", "--max", "2", "--json"]);
    assert_eq!(ran.expect_code(0).json()["moved"], 2);
    place.ready(&place.queue, 2);
    let there = place.run(&["get", &other, "--max", "4", "--json"]).expect_code(0);
    assert_eq!(there.each("body"), ["1", "3"]);
    let left = place.run(&["get", &place.queue, "--max", "4", "--json"]).expect_code(0);
    assert_eq!(sorted(left.each("body")), ["2", "4"]);
}

/// The others are in nobody's way: but for the one that comes in the place of the first, they are not even fetched.
fn move_no_more_than_asked(place: &Place) {
    let other = other(place);
    place.publish(&["1", "2", "3", "4"]);
    place.ready(&place.queue, 4);
    let ran = place.run(&["move", &place.queue, &other, "--max", "1", "--json"]).expect_code(0);
    assert_eq!((&ran.json()["moved"], &ran.json()["kept"]), (&json!(1), &json!(0)));
    place.ready(&place.queue, 3);
    place.on_broker(async |broker| {
        let provider = broker.provider(&place.queue, ProviderOptions::default()).await.expect("a provider");
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let max = NonZeroUsize::new(3).expect("not zero");
            seen.extend(provider.receive(max, Duration::from_secs(20)).await.expect("receives"));
        }
        let fetched = seen.iter().filter(|delivery| delivery.redelivered()).count();
        assert!(fetched <= 1, "{seen:?}");
        provider.close().await.expect("closes");
    });
}

/// It tells what it did until then.
fn move_from_a_queue_that_vanishes(place: &Place) {
    let other = other(place);
    let bodies: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
    place.publish(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let moving = place.start(&["move", &place.queue, &other, "--rate", "50", "--json"]);
    until("some have moved", || place.run(&["count", &other, "--json"]).json()[0]["ready"].as_u64() > Some(10));
    place.run(&["delete", &place.queue, "--yes"]).expect_code(0);
    let ran = moving.end().expect_code(5);
    let [moved, failed] = ["moved", "failed"].map(|what| ran.json()[what].as_u64().expect("a number"));
    // What was copied when its original vanished was not moved, as the program says.
    place.ready(&other, moved + failed);
    assert!(moved > 10 && ran.err.contains("run it again"), "{ran:?}");
}

fn a_move_that_is_killed(place: &Place) {
    let other = other(place);
    let bodies: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
    place.publish(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let mut moving = place.start(&["move", &place.queue, &other, "--rate", "100"]);
    until("some have moved", || place.run(&["count", &other, "--json"]).json()[0]["ready"].as_u64() > Some(30));
    moving.child.kill().expect("kill -9");
    moving.end();
    // What it held comes back, at once or when its lease ends; then the rest is moved.
    until("all have moved", || {
        let ran = place.run(&["move", &place.queue, &other, "--json"]);
        // What it held is not seen until its lease ends.
        assert!([Some(0), Some(5)].contains(&ran.code), "{ran:?}");
        let counts = place.run(&["count", &place.queue, "--json"]).expect_code(0).json();
        counts[0]["ready"] == 0 && counts[0]["unsettled"].as_u64().unwrap_or(0) == 0
    });
    let mut there = place.run(&["get", &other, "--max", "600", "--json"]).expect_code(0).each("body");
    there.sort();
    there.dedup();
    assert_eq!(there.len(), 300, "none is lost");
}
