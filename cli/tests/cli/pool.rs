//! `work --processes` and `--health`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Place, Running, is_running, on_brokers, run, until};

on_brokers!(
    processes_share_the_work,
    processes_start_again,
    processes_of_a_new_version,
    processes_end_with_their_parent,
    health,
);

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn parents(file: &Path) -> Vec<String> {
    let mut parents = lines(file);
    parents.sort();
    parents.dedup();
    parents
}

fn processes_share_the_work(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    place.publish(&["x"; 20]);
    let script = format!("sleep 0.3; echo $PPID >> {}", log.display());
    let args = ["work", &place.queue, "--processes", "2", "--prefetch", "1", "--stop-when-empty"];
    place.run(&[&args[..], &["--exec", "sh", "-c", &script]].concat()).expect_code(0);
    assert_eq!(lines(&log).len(), 20);
    assert_eq!(parents(&log).len(), 2, "each of both did some");
}

fn processes_start_again(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    place.publish(&["x"; 6]);
    let script = format!("echo $PPID >> {}", log.display());
    let args = ["work", &place.queue, "--processes", "1", "--max-messages", "2"];
    let running = place.start(&[&args[..], &["--exec", "sh", "-c", &script]].concat());
    until("all are done", || lines(&log).len() == 6);
    assert_eq!(parents(&log).len(), 3, "a new process after two messages");
    running.signal("INT");
    running.end().expect_code(4);
    place.counts(&place.queue, |counts| counts["ready"] == 0);
}

/// The program is replaced while it runs, as an upgrade does it.
fn processes_of_a_new_version(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, installed, new) =
        (folder.path().join("log"), folder.path().join("swarrot"), folder.path().join("swarrot.new"));
    // Another process writes them: what we had open for writing could not be run.
    let copy = |to: &Path| {
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_swarrot")).arg(to).status();
        assert!(copied.expect("cp runs").success());
    };
    copy(&installed);
    copy(&new);
    place.publish(&["x"; 2]);
    let script = format!("echo $PPID >> {}", log.display());
    let args = ["work", &place.queue, "--processes", "1", "--max-messages", "2", "--exec", "sh", "-c", &script];
    let mut command = Command::new(&installed);
    command.args(args).env("SWARROT_URL", &place.url).env_remove("SWARROT_LOG").stdin(Stdio::null());
    let running = Running::start(command);
    until("the first process has worked", || lines(&log).len() == 2);
    fs::rename(&new, &installed).expect("replaces it");
    place.publish(&["x"; 6]);
    until("further ones work", || lines(&log).len() == 8);
    running.signal("INT");
    running.end().expect_code(4);
}

fn processes_end_with_their_parent(place: &Place) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    place.publish(&["x"]);
    let script = format!("echo $PPID >> {}", log.display());
    let args = ["work", &place.queue, "--processes", "1", "--exec", "sh", "-c", &script];
    let mut running = place.start(&args);
    until("it works", || lines(&log).len() == 1);
    running.child.kill().expect("kill -9");
    running.end();
    let member = lines(&log).remove(0);
    until("the member has ended", || !is_running(&member));
}

/// The status line and the body of an answer.
fn http(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

fn health(place: &Place) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    place.run(&["publish", &place.queue, "x", "--id", "first"]).expect_code(0);
    let args = ["work", &place.queue, "--health", &address, "--exec", "sh", "-c", "cat; sleep 600"];
    let running = place.start(&args);
    until("it is well", || http(port, "/healthz").is_some_and(|(status, _)| status.contains("200")));
    until("the message is in flight", || http(port, "/inflight").is_some_and(|(_, body)| body.contains("first")));
    let (_, body) = http(port, "/healthz").expect("an answer");
    assert!(body.contains(&place.queue) && body.contains("\"healthy\":true"), "{body}");
    let (_, body) = http(port, "/metrics").expect("an answer");
    assert!(body.contains(&format!("swarrot_in_flight{{queue=\"{}\"}} 1", place.queue)), "{body}");
    // Another one cannot have the address.
    place.run(&["work", &place.queue, "--health", &address, "--exec", "true"]).expect_line(1, &[&address, "--health"]);
    running.signal("TERM");
    running.end().expect_code(4);
}

#[test]
fn ports_that_are_not_there() {
    let url = "amqp://guest:hunter2@127.0.0.1:1/";
    for (address, words) in [("127.0.0.1:0", "above 0"), ("127.0.0.1:65533", "65536")] {
        let args = ["work", "q", "--url", url, "--processes", "4", "--health", address, "--exec", "true"];
        run(&args).expect_line(2, &["--health", words]);
    }
}
