//! Each fault once, in little time; `cargo xtask faults` takes its own.
//!
//! But for a node of a cluster that dies: three nodes take too much of a machine that runs other tests too.

use std::process::Command;

/// Runs these faults on brokers of their own; without any, all that fit.
fn faults(backend: &str, faults: &[&str]) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    command.args(["run", "--brief", "--backend", backend]).arg("--keep").arg(dir.path());
    for fault in faults {
        command.args(["--fault", fault]);
    }
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{text}");
}

#[test]
fn a_classic_queue_keeps_its_promises() {
    faults("amqp-classic", &["broker-kill", "worker-kill", "cut"]);
}

#[test]
fn a_quorum_queue_keeps_its_promises() {
    faults("amqp-quorum", &[]);
}

#[test]
fn redis_keeps_its_promises() {
    faults("redis", &[]);
}

#[test]
fn redis_that_fails_over_goes_on() {
    faults("redis-sentinel", &["failover", "worker-kill"]);
}

#[test]
fn redis_that_writes_every_second_outlives_its_process() {
    faults("redis-everysec", &["broker-kill"]);
}
