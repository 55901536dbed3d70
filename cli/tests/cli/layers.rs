//! The flags of layers of `work`.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Place, Ran, on_brokers, program, run};

on_brokers!(without_a_file, in_place_of_the_file, a_time_out_of_a_file, limits_of_a_file, only_once);

/// A script that notes its attempt, and says "later" unless it is told otherwise.
fn script(log: &Path, more: &str) -> String {
    format!("echo $SWARROT_ATTEMPT >> {}; {more}", log.display())
}

fn lines(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// `work` with a file whose worker `mailer` has these keys.
fn with_file(place: &Place, keys: &str, flags: &[&str], script: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[brokers]\nmain = \"{}\"\n[workers.mailer]\nqueue = \"{}\"\nstop_when_empty = true\n{keys}\n",
        place.url, place.queue
    );
    // In the folder where the file is, its name need not be told.
    fs::write(folder.path().join("swarrot.toml"), text).expect("writes");
    let mut command = program();
    command.args(["work", "mailer", "--config", "--json"]).args(flags).args(["--exec", "sh", "-c", script]);
    let ended = command.current_dir(folder.path()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: ended.status.code(), out: text(&ended.stdout), err: text(&ended.stderr) }
}

fn without_a_file(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let script = script(&log, "exit 75");
    let work = |flags: &[&str]| {
        place.publish(&["busy"]);
        let _ = fs::remove_file(&log);
        let args = [&["work", &place.queue, "--max-messages", "1"], flags, &["--exec", "sh", "-c", &script]].concat();
        place.run(&args).expect_code(3);
        lines(&log)
    };
    let calls = work(&["--no-retry", "--instant-retry-attempts", "3", "--instant-retry-delay", "10ms"]);
    assert_eq!(calls, ["1", "1", "1"], "in place, as one attempt");
    place.ready(&place.name("dead"), 1);
    // It was delivered once: that is enough.
    assert_eq!(work(&["--max-deliveries", "1"]), ["1"]);
    place.ready(&place.name("dead"), 2);
    assert_eq!(work(&["--retry-attempts", "1"]), ["1"], "the usual delays, but no retry");
    place.ready(&place.name("dead"), 3);
    let letters = place.run(&["dead", "list", &place.queue, "--json"]).expect_code(0).lines();
    let reasons: Vec<_> = letters.iter().map(|letter| letter["failure"]["reason"].to_string()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("deliver")), "{reasons:?}");
}

fn in_place_of_the_file(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let script = script(&log, "exit 75");
    let keys = "max_messages = 1\nlayers = [{ layer = \"retry\", fixed = \"1h\", attempts = 9 }, \
                { layer = \"instant_retry\", attempts = 2, delay = \"1ms\" }]";
    let work = |flags: &[&str], outcome: &str| {
        place.publish(&["busy"]);
        let _ = fs::remove_file(&log);
        let report = with_file(place, keys, flags, &script).json();
        assert_eq!(report[outcome], json!(1), "{flags:?}: {report}");
        lines(&log).len()
    };
    assert_eq!(work(&[], "retried"), 2);
    assert_eq!(work(&["--no-instant-retry"], "retried"), 1);
    assert_eq!(work(&["--no-retry"], "rejected"), 2);
    assert_eq!(work(&["--retry-attempts", "1", "--instant-retry-attempts", "4"], "rejected"), 4);
    // The retry of the flag is the only one: its one retry is at once, and then the message is parked.
    assert_eq!(work(&["--retry", "1ms*1", "--no-max-messages", "--no-instant-retry"], "rejected"), 2);
}

fn a_time_out_of_a_file(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let keys = "max_messages = 1\nlayers = [{ layer = \"timeout\", limit = \"500ms\" }]";
    // The command is told, and has time to put things in order.
    let script = script(&log, &format!("trap 'echo told >> {}; exit 1' TERM; sleep 3 & wait $!", log.display()));
    let parked = |flags: &[&str], rejected: u32| {
        place.publish(&["slow"]);
        let _ = fs::remove_file(&log);
        let report = with_file(place, keys, flags, &script).expect_code(3).json();
        assert_eq!(report["rejected"], rejected, "{report}");
        lines(&log)
    };
    assert_eq!(parked(&[], 1), ["1", "told"]);
    assert_eq!(parked(&["--no-timeout"], 0), ["1"]);
    assert_eq!(parked(&["--timeout", "1m"], 0), ["1"]);
    // Other tries do not begin once the time of all of them is up.
    let keys = keys.replace("}]", "}, { layer = \"instant_retry\", delay = \"1ms\" }]");
    place.publish(&["slow"]);
    let _ = fs::remove_file(&log);
    with_file(place, &keys, &[], &script).expect_code(3);
    assert_eq!(lines(&log), ["1", "told"]);
}

fn limits_of_a_file(place: &Place) {
    place.publish(&["1", "2", "3"]);
    let report = with_file(place, "max_messages = 1\nmax_time = \"1h\"", &["--no-max-messages"], "true");
    assert_eq!(report.expect_code(0).json()["acked"], 3);
}

fn only_once(place: &Place) {
    for _ in 0..2 {
        place.run(&["publish", &place.queue, "b", "--id", "same"]).expect_code(0);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let script = script(&log, "true");
    let args = ["work", &place.queue, "--max-messages", "2", "--deduplicate", "--exec", "sh", "-c", &script];
    place.run(&args).expect_code(3);
    assert_eq!(lines(&log), ["1"]);
}

#[test]
fn mistakes() {
    for (flags, words) in [
        (&["--timeout", "soon"][..], &["--timeout must be a duration", "\"soon\""][..]),
        (&["--timeout", "0s"], &["--timeout: no command ends within no time; give it longer"]),
        (&["--instant-retry-attempts", "0"], &["--instant-retry-attempts must be a whole number from 1"]),
        (&["--retry-jitter", "much"], &["--retry-jitter must be"]),
        (&["--deduplicate-store", "http://u:hunter2@h/"], &["--deduplicate-store"]),
        (&["--no-retry", "--retry-attempts", "3"], &["--no-retry", "cannot be used"]),
        (&["--no-max-time", "--max-time", "3s"], &["--no-max-time", "cannot be used"]),
        (&["--tmieout", "3s"], &["--timeout"]),
    ] {
        let args = [&["work", "q", "--url", "memory://"], flags, &["--exec", "true"]].concat();
        let ran = run(&args).expect_line(2, words);
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
}
