//! `doctor`.

use std::process::{Child, Command, Stdio};

use lapin::options::QueueDeclareOptions;
use swarrot::DeadLetter;
use swarrot::topology::{Queue, Topology};

use crate::support::{Place, on_brokers, program, run, until};

on_brokers!(tells_of_the_broker, looks_at_queues, a_limit_without_dead_letters, what_is_not_known);

fn tells_of_the_broker(place: &Place) {
    let findings = place.run(&["doctor", "--json"]).expect_code(0).json();
    let product = if place.is_redis() { "Redis" } else { "RabbitMQ" };
    assert_eq!(findings["product"], product);
    assert!(findings["ping_milliseconds"].as_f64() > Some(0.0), "{findings}");
    assert_eq!(findings["capabilities"][0]["can"]["dead letters"], "yes");
    let text = place.run(&["doctor"]).expect_code(0).out;
    assert!(text.starts_with(product) && text.contains("look without taking"), "{text}");
    // The URL may stand where one looks for it, and its password is not shown.
    let ran = run(&["doctor", &place.url]).expect_code(0);
    assert!(!ran.out.contains("guest:guest"), "{ran:?}");
}

fn looks_at_queues(place: &Place) {
    place.publish(&["a", "b"]);
    place.ready(&place.queue, 2);
    let dead = place.name("dead");
    let args = ["doctor", "--queue", &place.queue, "--queue", &dead, "--strict", "--json"];
    let findings = place.run(&args).expect_code(1).json();
    let warnings = findings["warnings"].to_string();
    assert!(warnings.contains("2 messages and no worker"), "{warnings}");
    assert!(warnings.contains(&format!("{dead} has no dead-letter queue")), "{warnings}");
    place.run(&["doctor", "--queue", "nowhere"]).expect_line(1, &["nowhere"]);
}

fn a_limit_without_dead_letters(place: &Place) {
    let (drops, parks) = (place.name("drops"), place.name("parks"));
    let queue = Queue::new(&drops).dead_letter(DeadLetter::Drop).delivery_limit(7);
    place.declare(Topology::new().queue(queue).queue(Queue::new(&parks)));
    let warnings = |queue: &str| {
        let findings = place.run(&["doctor", "--queue", queue, "--json"]).expect_code(0).json();
        findings["warnings"].to_string()
    };
    assert!(warnings(&drops).contains("has a delivery limit and no dead letters"), "{}", warnings(&drops));
    assert!(!warnings(&parks).contains(&parks), "{}", warnings(&parks));
}

fn what_is_not_known(place: &Place) {
    let findings = |args: &[&str]| place.run(&[&["doctor", "--json"], args].concat()).expect_code(0).json();
    let notes = findings(&[])["notes"].to_string();
    assert_eq!(notes.contains("consumer_timeout") && notes.contains("clock"), !place.is_redis(), "{notes}");
    let longest = |time: &str| findings(&["--longest-handler", time]);
    assert_eq!(longest("45m")["warnings"].to_string().contains("raise its consumer_timeout"), !place.is_redis());
    assert!(!longest("5m")["warnings"].to_string().contains("consumer_timeout"));
    assert!(!longest("5m")["notes"].to_string().contains("consumer_timeout"));
    let text = place.run(&["doctor"]).expect_code(0).out;
    assert_eq!(text.contains("\n? RabbitMQ takes a message back"), !place.is_redis(), "{text}");
}

/// What this library declares lasts: such queues are made by others.
#[test]
fn queues_that_do_not_last() {
    let place = Place::amqp("doctor_transient");
    let (transient, temporary) = (place.name("transient"), place.name("temporary"));
    let lasting = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    place.declare_as_others_do(&transient, QueueDeclareOptions { durable: false, ..lasting });
    place.declare_as_others_do(&temporary, QueueDeclareOptions { auto_delete: true, ..lasting });
    for (queue, says) in [(&transient, "is transient"), (&temporary, "is deleted with its last worker")] {
        let findings = place.run(&["doctor", "--queue", queue, "--json"]).expect_code(0).json();
        let warnings = findings["warnings"].to_string();
        assert!(warnings.contains(&format!("{queue} {says}")), "{warnings}");
        place.run(&["delete", queue, "--yes"]).expect_code(0);
    }
}

#[test]
fn too_few_files() {
    let mut command = Command::new("sh");
    let doctor = format!("ulimit -n 200; exec {} doctor memory:// --json --strict", env!("CARGO_BIN_EXE_swarrot"));
    let ended = command.args(["-c", &doctor]).output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("may open 200 files") && text.contains("ulimit -n"), "{text}");
}

/// A server of this test's own, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_redis_that_may_lose_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let path = socket.to_str().expect("text");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]);
    command.args(["--maxmemory-policy", "allkeys-lru"]).current_dir(folder.path());
    let _server = Server(command.stdout(Stdio::null()).spawn().expect("redis-server is installed"));
    until("it listens", || socket.exists());
    let mut command = program();
    command.args(["doctor", &format!("redis+unix://{path}"), "--json", "--strict"]);
    let ended = command.output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let text = String::from_utf8_lossy(&ended.stdout);
    for words in ["maxmemory-policy is allkeys-lru", "set it to noeviction", "set appendonly yes"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn in_memory() {
    let findings = run(&["doctor", "memory://", "--json"]).expect_code(0).json();
    assert_eq!(findings["product"], "swarrot-memory");
}
