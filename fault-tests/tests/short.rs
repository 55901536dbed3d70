//! Each fault once, for a short while; `cargo xtask faults` takes its time.

use std::process::Command;

/// Runs faults of these names on brokers of their own.
fn faults(backend: &str, faults: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    command.args(["run", "--times", "1", "--backend", backend, "--fault", faults]);
    command.arg("--report").arg(dir.path().join("report.md")).arg("--keep").arg(dir.path());
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{text}");
}

#[test]
fn redis_dies() {
    faults("redis", "broker-kill");
    faults("redis-everysec", "broker-kill");
}

#[test]
fn redis_fails_over() {
    faults("redis-sentinel", "failover");
}

#[test]
fn redis_is_out_of_reach_or_in_need() {
    faults("redis", "cut,cut-half,freeze,slow,memory-alarm,client-pause,script-flush,queue-delete");
}

#[test]
fn workers_on_redis_die_and_stop() {
    faults("redis", "worker-kill,worker-stop");
}

#[test]
fn rabbitmq_dies() {
    faults("amqp-quorum", "broker-kill");
    faults("amqp-classic", "broker-kill");
}

#[test]
fn rabbitmq_is_out_of_reach_or_in_need() {
    faults("amqp-quorum", "cut,cut-half,freeze,slow,close-connections,memory-alarm,queue-delete");
}

#[test]
fn workers_on_rabbitmq_die_and_stop() {
    faults("amqp-classic", "worker-kill,worker-stop");
}
