//! The example that the README begins with, as people run it: the same program on every backend.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts examples: beside the folder of this test.
fn quickstart() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let program = this.ancestors().nth(2).expect("a folder").join("examples/quickstart");
    assert!(program.is_file(), "{} is missing: run `cargo build --example quickstart` first", program.display());
    program
}

fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names a broker; `cargo xtask test` starts one"))
}

/// Runs it, and returns what it prints.
fn run(args: &[&str]) -> String {
    let output = Command::new(quickstart()).args(args).env("RUST_LOG", "off").output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn check(printed: &str) {
    for line in [
        "✓ Ada      welcome mail sent to ada@example.org",
        "✓ Grace    welcome mail sent to grace@example.org",
        "✗ Charles  attempt 4: no mail server takes \"nowhere\"",
        "† parked in quickstart.welcome.dead after 4 attempts: no mail server takes \"nowhere\"",
    ] {
        assert_eq!(printed.lines().filter(|printed| *printed == line).count(), 1, "{line}\nin\n{printed}");
    }
    let count = |what: &str| {
        let line = printed.lines().find_map(|line| line.trim_start().strip_prefix(what));
        line.unwrap_or_else(|| panic!("{what} is not reported in\n{printed}")).trim().to_owned()
    };
    assert_eq!(["handled", "acked", "retried later", "rejected"].map(count), ["6", "2", "3", "1"]);
}

#[test]
fn on_memory() {
    check(&run(&[]));
}

#[test]
fn on_rabbitmq() {
    check(&run(&[&url("SWARROT_TEST_AMQP_URL")]));
}

#[test]
fn on_redis() {
    check(&run(&[&url("SWARROT_TEST_REDIS_URL")]));
}

#[test]
fn a_bad_url_is_told_in_one_line() {
    let output = Command::new(quickstart()).arg("kafka://u:hunter2@h/").output().expect("it starts");
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stderr).expect("text");
    assert!(printed.contains("unknown scheme \"kafka\"") && !printed.contains("hunter2"), "{printed}");
}
