//! `work --exec`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Place, is_running, on_brokers, program, until};

on_brokers!(
    acks,
    environment,
    fails,
    tries_again,
    takes_too_long,
    limits,
    a_clean_stop,
    a_stop_that_lets_finish,
    a_stop_with_a_deadline,
    a_stop_waits_for_children,
    a_deadline_ends_children,
    a_worker_that_is_killed,
    a_command_that_vanishes,
    a_script_without_its_first_line,
    leaves_processes_behind,
    a_worker_of_a_file,
    nobody_reads_what_it_logs,
);

/// A file in a folder of its own, for the commands to write to.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    (folder, file)
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn work<'a>(place: &'a Place, options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["work", &place.queue], options, &["--exec", "sh", "-c", script]].concat()
}

fn acks(place: &Place) {
    place.publish(&["one", "two", "three"]);
    let (_folder, log) = file();
    let script = format!("cat >> {0}; echo >> {0}", log.display());
    let ran = place.run(&work(place, &["--stop-when-empty", "--json"], &script)).expect_code(0);
    assert_eq!(text(&log), "one\ntwo\nthree\n");
    let report = ran.json();
    assert_eq!((&report["stopped"], &report["acked"]), (&json!("empty"), &json!(3)));
    place.counts(&place.queue, |counts| counts["ready"] == 0 && counts["dead"] == 0);
}

fn environment(place: &Place) {
    place
        .run(&["publish", &place.queue, "b", "--id", "i1", "--type", "t", "-H", "user-id:=5", "-H", "note=line\nbreak"])
        .expect_code(0);
    let (_folder, log) = file();
    let script = format!("env -0 > {}", log.display());
    let mut command = crate::support::program();
    // As if another `swarrot work` had started this one.
    command.env("SWARROT_HEADER_STALE", "x").env("SWARROT_PRIORITY", "9").env("SWARROT_URL", &place.url);
    let status =
        command.args(work(place, &["--stop-when-empty"], &script)).stderr(std::process::Stdio::null()).status();
    assert!(status.expect("it runs").success());
    let text = text(&log);
    let set: Vec<&str> = text.split('\0').collect();
    for expected in [
        format!("SWARROT_QUEUE={}", place.queue),
        "SWARROT_EXCHANGE=".to_owned(),
        format!("SWARROT_ROUTING_KEY={}", place.queue),
        "SWARROT_ATTEMPT=1".to_owned(),
        "SWARROT_REDELIVERED=0".to_owned(),
        "SWARROT_MESSAGE_ID=i1".to_owned(),
        "SWARROT_TYPE=t".to_owned(),
        "SWARROT_HEADER_USER_ID=5".to_owned(),
        "SWARROT_HEADER_NOTE=line\nbreak".to_owned(),
    ] {
        assert!(set.contains(&expected.as_str()), "{expected} is missing: {text}");
    }
    assert!(!text.contains("STALE") && !text.contains("SWARROT_PRIORITY"), "{text}");
}

fn fails(place: &Place) {
    place.publish(&["bad"]);
    let script = "echo first >&2; echo 'no such user' >&2; exit 3";
    let ran = place.run(&work(place, &["--stop-when-empty", "--json"], script)).expect_code(0);
    assert_eq!((&ran.json()["rejected"], &ran.json()["retried"]), (&json!(1), &json!(0)));
    assert!(ran.err.contains("no such user"), "what the command says is shown: {ran:?}");
    let dead = place.name("dead");
    place.ready(&dead, 1);
    let message = place.run(&["get", &dead, "--json"]).expect_code(0).json();
    assert_eq!(message["headers"]["swarrot_reason"], "exit code 3: first no such user");
    assert_eq!(message["headers"]["swarrot_attempts"], 1);
}

fn tries_again(place: &Place) {
    place.publish(&["busy"]);
    let (_folder, log) = file();
    // The third attempt is fine.
    let script = format!("echo $SWARROT_ATTEMPT >> {}; test $SWARROT_ATTEMPT -ge 3 || exit 75", log.display());
    let running = place.start(&work(place, &["--retry", "100ms..1s*3"], &script));
    until("the third attempt", || text(&log) == "1\n2\n3\n");
    place.counts(&place.queue, |c| c["ready"] == 0 && c["unsettled"].as_u64().unwrap_or(0) == 0);
    running.signal("TERM");
    running.end().expect_code(4);

    // Without retries, and with all of them used up.
    for (options, attempts) in [(&["--no-retry"][..], 1), (&["--retry", "100ms*1"], 2)] {
        place.publish(&["busy"]);
        let running = place.start(&work(place, options, "echo later >&2; exit 75"));
        let dead = place.name("dead");
        place.ready(&dead, 1);
        running.signal("TERM");
        running.end().expect_code(4);
        let message = place.run(&["get", &dead, "--json"]).expect_code(0).json();
        assert_eq!(message["headers"]["swarrot_attempts"], attempts);
        assert_eq!(message["headers"]["swarrot_reason"], "exit code 75: later");
    }
}

fn takes_too_long(place: &Place) {
    place.publish(&["slow"]);
    let (_folder, log) = file();
    // A child of the command holds on too, and is killed with it.
    let script = format!("sleep 600 & echo $! > {}; wait", log.display());
    let options = ["--timeout", "500ms", "--no-retry", "--max-messages", "1"];
    place.run(&work(place, &options, &script)).expect_code(3);
    until("its child has ended", || !is_running(text(&log).trim()));
    let dead = place.name("dead");
    place.ready(&dead, 1);
    let message = place.run(&["get", &dead, "--json"]).expect_code(0).json();
    assert_eq!(message["headers"]["swarrot_reason"], "it took too long");
}

fn limits(place: &Place) {
    place.publish(&["1", "2", "3"]);
    let ran = place.run(&work(place, &["--max-messages", "2", "--json"], "true")).expect_code(3);
    assert_eq!((&ran.json()["stopped"], &ran.json()["acked"]), (&json!("max_messages"), &json!(2)));
    place.ready(&place.queue, 1);
    let ran = place.run(&work(place, &["--max-time", "1s", "--json"], "true")).expect_code(3);
    assert_eq!((&ran.json()["stopped"], &ran.json()["acked"]), (&json!("max_time"), &json!(1)));
    // It says so in words, and what commands print is left alone.
    place.publish(&["4"]);
    let ran = place.run(&work(place, &["--max-messages", "1"], "echo printed")).expect_code(3);
    assert!(ran.out == "printed\n" && ran.err.contains("the number of messages was reached"), "{ran:?}");
}

fn a_clean_stop(place: &Place) {
    place.publish(&["1", "2", "3"]);
    let (_folder, log) = file();
    // The first one takes the signal as a hint and finishes well, the second dies of it, the third has not begun.
    let script = format!(
        "body=$(cat); if [ $body = 1 ]; then trap 'echo told >> {0}; exit 0' TERM; fi; echo began >> {0}; \
         sleep 600 & wait",
        log.display()
    );
    let running = place.start(&work(place, &["--concurrency", "2", "--json"], &script));
    until("two run", || text(&log) == "began\nbegan\n");
    running.signal("TERM");
    let report = running.end().expect_code(4).json();
    assert_eq!(report["stopped"], "signal", "{report}");
    assert_eq!((&report["acked"], &report["rejected"], &report["retried"]), (&json!(1), &json!(0), &json!(0)));
    assert!(text(&log).contains("told"));
    place.counts(&place.queue, |counts| counts["ready"] == 2 && counts["dead"] == 0);
    let mut left = place.run(&["get", &place.queue, "--max", "2", "--json"]).expect_code(0).each("body");
    left.sort();
    assert_eq!(left, ["2", "3"]);
}

fn a_stop_that_lets_finish(place: &Place) {
    place.publish(&["1"]);
    let (_folder, log) = file();
    let script = format!("echo began >> {}; sleep 2", log.display());
    let running = place.start(&work(place, &["--let-finish"], &script));
    until("it runs", || text(&log) == "began\n");
    running.signal("INT");
    running.end().expect_code(4);
    place.counts(&place.queue, |counts| counts["ready"] == 0 && counts["dead"] == 0);
}

fn a_stop_with_a_deadline(place: &Place) {
    place.publish(&["1"]);
    let (_folder, log) = file();
    let script = format!("trap '' TERM; echo $$ >> {}; while :; do sleep 1; done", log.display());
    let running = place.start(&work(place, &["--deadline", "1s", "--json"], &script));
    until("it runs", || text(&log).ends_with('\n'));
    running.signal("TERM");
    let report = running.end().expect_code(4).json();
    assert_eq!((&report["cancelled"], &report["acked"]), (&json!(1), &json!(0)));
    until("it is killed", || !is_running(text(&log).trim()));
    place.ready(&place.queue, 1);
}

/// What a test waits for must not be what a child holds open.
const NOWHERE: &str = "/dev/null 2>&1";

/// The shell ends at the signal, its child a second later.
fn a_stop_waits_for_children(place: &Place) {
    place.publish(&["1"]);
    let (_folder, log) = file();
    let child = "trap 'sleep 1; echo ended >> $0; exit' TERM; echo began >> $0; while :; do sleep 0.1; done";
    let script = format!("sh -c \"{}\" {} > {NOWHERE} & wait", child.replace('$', "\\$"), log.display());
    let running = place.start(&work(place, &["--json"], &script));
    until("it runs", || text(&log) == "began\n");
    running.signal("TERM");
    let report = running.end().expect_code(4).json();
    assert_eq!(text(&log), "began\nended\n", "another attempt would have run beside it");
    assert_eq!(report["released"], 1, "{report}");
    place.ready(&place.queue, 1);
}

/// A command that ends at the signal, and a child of it that does not.
const DEAF_CHILD: &str = "sh -c 'trap \"\" TERM; echo $$ >> $0; sleep 600'";

fn a_deadline_ends_children(place: &Place) {
    place.publish(&["1"]);
    let (_folder, log) = file();
    let script = format!("{DEAF_CHILD} {} > {NOWHERE} & wait", log.display());
    let running = place.start(&work(place, &["--deadline", "1s", "--json"], &script));
    until("it runs", || text(&log).ends_with('\n'));
    running.signal("TERM");
    let report = running.end().expect_code(4).json();
    assert_eq!(report["cancelled"], 1, "{report}");
    until("the child is killed", || !is_running(text(&log).trim()));
    place.ready(&place.queue, 1);
}

#[test]
fn a_time_out_ends_children() {
    let place = Place::redis("a_time_out_ends_children");
    place.publish(&["1"]);
    let (_folder, log) = file();
    let script = format!("{DEAF_CHILD} {} > {NOWHERE} & wait", log.display());
    place.run(&work(&place, &["--timeout", "1s", "--max-messages", "1", "--no-retry"], &script)).expect_code(3);
    until("the child is killed", || !is_running(text(&log).trim()));
    place.ready(&place.name("dead"), 1);
}

fn a_worker_that_is_killed(place: &Place) {
    let bodies: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
    place.publish(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let (_folder, log) = file();
    let script = format!("body=$(cat); sleep 0.2; echo $body >> {}", log.display());
    for _ in 0..3 {
        let before = text(&log).lines().count();
        let mut running = place.start(&work(place, &["--concurrency", "3"], &script));
        until("some are done", || text(&log).lines().count() > before + 2);
        running.child.kill().expect("kill -9");
        running.end();
    }
    // What the dead ones held comes back: at once, or when their leases end.
    let running = place.start(&work(place, &["--concurrency", "8"], &script));
    let all_done = || {
        let text = text(&log);
        bodies.iter().all(|body| text.lines().any(|line| line == body))
    };
    until("every message is done", all_done);
    place.counts(&place.queue, |c| c["ready"] == 0 && c["unsettled"].as_u64().unwrap_or(0) == 0);
    running.signal("TERM");
    running.end().expect_code(4);
    place.counts(&place.queue, |counts| counts["ready"] == 0 && counts["dead"] == 0);
}

fn a_command_that_vanishes(place: &Place) {
    place.publish(&["1", "2"]);
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("once");
    fs::write(&program, format!("#!/bin/sh\nrm {}\n", program.display())).expect("writes");
    assert!(Command::new("chmod").arg("+x").arg(&program).status().expect("chmod").success());
    let args = ["work", &place.queue, "--exec", program.to_str().expect("text")];
    let ran = place.run(&args).expect_code(1);
    assert!(ran.err.contains("swarrot: cannot start"), "{ran:?}");
    place.counts(&place.queue, |counts| counts["ready"] == 1 && counts["dead"] == 0);
}

fn a_script_without_its_first_line(place: &Place) {
    place.publish(&["1"]);
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("script");
    fs::write(&program, "exit 0\n").expect("writes");
    assert!(Command::new("chmod").arg("+x").arg(&program).status().expect("chmod").success());
    let args = ["work", &place.queue, "--stop-when-empty", "--exec", program.to_str().expect("text")];
    let ran = place.run(&args).expect_code(1);
    assert!(ran.err.contains("swarrot: cannot start") && ran.err.contains("#!/bin/sh"), "{ran:?}");
    // No message pays for it.
    place.counts(&place.queue, |counts| counts["ready"] == 1 && counts["delayed"].as_u64().unwrap_or(0) == 0);
}

fn leaves_processes_behind(place: &Place) {
    place.publish(&["1"]);
    // It keeps stderr and stdin open for longer than the test has patience.
    let script = "sleep 100 & echo done";
    let ran = place.start(&work(place, &["--max-messages", "1", "--json"], script));
    let began = std::time::Instant::now();
    until("the message is acked", || {
        let counts = place.run(&["count", &place.queue, "--json"]).json();
        counts[0]["ready"] == 0 && counts[0]["unsettled"].as_u64().unwrap_or(0) == 0
    });
    assert!(began.elapsed().as_secs() < 30);
    drop(ran);
}

fn a_worker_of_a_file(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("swarrot.toml");
    let (queue, broker) = (&place.queue, &place.url);
    let config = format!(
        "[brokers]\nmain = \"{broker}\"\n[workers.mailer]\nqueue = \"{queue}\"\nmax_messages = 2\n\
         layers = [{{ layer = \"retry\", fixed = \"100ms\", attempts = 2 }}]\n"
    );
    fs::write(&file, config).expect("writes");
    let file = file.to_str().expect("text");
    place.publish(&["1", "2", "3"]);
    let (_folder, log) = self::file();
    let script = format!("echo $SWARROT_ATTEMPT >> {}; test $SWARROT_ATTEMPT = 2 || exit 75", log.display());
    let args = |name, more: &[&'static str]| {
        let mut command = crate::support::program();
        command.args(["work", name, "--config", file]).args(more).args(["--exec", "sh", "-c", &script]);
        command.output().expect("it runs")
    };
    let ended = args("mailer", &[]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    // What is told on the command line goes before the file.
    let ended = args("mailer", &["--max-messages", "1"]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(text(&log).lines().count(), 3);
    assert!(text(&log).starts_with("1\n"), "{}", text(&log));
    let unknown = args("mialer", &[]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("mailer"), "{unknown:?}");
}

fn nobody_reads_what_it_logs(place: &Place) {
    place.publish(&["fails"]);
    let mut command = program();
    command.args(work(place, &["--max-messages", "1"], "exit 1")).env("SWARROT_URL", &place.url);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stderr.take());
    // That it failed is logged, and no reason to stop.
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    place.ready(&place.name("dead"), 1);
}
