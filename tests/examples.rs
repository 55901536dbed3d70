//! The examples, as people run them: the same programs on every backend.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts examples: beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let program = this.ancestors().nth(2).expect("a folder").join("examples").join(name);
    assert!(program.is_file(), "{} is missing: run `cargo build --example {name}` first", program.display());
    program
}

fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names a broker; `cargo xtask test` starts one"))
}

/// Runs it, and returns what it prints.
fn run(name: &str, args: &[&str]) -> String {
    let output = Command::new(example(name)).args(args).env("RUST_LOG", "off").output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn check_quickstart(printed: &str) {
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

/// The workers race for the mails and print as they like; what all did together is always the same.
#[track_caller]
fn check_pool(printed: &str) {
    let count = |begin: &str| printed.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!([count("✓ mail to "), count("✓ thumbnail "), count("✗ thumbnail ")], [8, 9, 2], "{printed}");
    let row = |begin: &str| -> Vec<u64> {
        let row = printed.lines().find_map(|line| line.trim_start().strip_prefix(begin));
        let row = row.unwrap_or_else(|| panic!("{begin} is not reported in\n{printed}"));
        row.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    };
    // Runs, handled, acked, retried.
    assert_eq!(row("all ")[..4], [5, 19, 17, 2], "{printed}");
    assert_eq!(row("thumbnails ")[..4], [3, 11, 9, 2], "{printed}");
    let failed = "thumbnails failed 2 times, the last time: the worker stopped: a handler failed: the picture library is beside itself";
    assert!(printed.contains(failed), "{printed}");
}

#[test]
fn quickstart_on_memory() {
    check_quickstart(&run("quickstart", &[]));
}

#[test]
fn quickstart_on_rabbitmq() {
    check_quickstart(&run("quickstart", &[&url("SWARROT_TEST_AMQP_URL")]));
}

#[test]
fn quickstart_on_redis() {
    check_quickstart(&run("quickstart", &[&url("SWARROT_TEST_REDIS_URL")]));
}

#[test]
fn pool_on_memory() {
    check_pool(&run("pool", &[]));
}

#[test]
fn pool_on_rabbitmq() {
    check_pool(&run("pool", &[&url("SWARROT_TEST_AMQP_URL")]));
}

#[test]
fn pool_on_redis() {
    check_pool(&run("pool", &[&url("SWARROT_TEST_REDIS_URL")]));
}

#[test]
fn a_bad_url_is_told_in_one_line() {
    let output = Command::new(example("quickstart")).arg("kafka://u:hunter2@h/").output().expect("it starts");
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stderr).expect("text");
    assert!(printed.contains("unknown scheme \"kafka\"") && !printed.contains("hunter2"), "{printed}");
}
