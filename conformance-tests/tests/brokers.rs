//! The private brokers, for real.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use swarrot_conformance::brokers::{BrokerError, RabbitMq, Redis, Start};

const HELPER: &str = "SWARROT_TEST_HELPER";

#[test]
fn rabbitmq_is_killed_restarted_attached_to_and_stopped() {
    let node = RabbitMq::start(&Start::new()).expect("a node");
    let dir = node.dir().to_owned();
    let first = node.pid().expect("it runs");
    assert!(node.url().contains(&node.port().to_string()));

    node.ctl(&["add_vhost", "kept"]).expect("a virtual host");
    let error = node.ctl(&["no_such_command"]).expect_err("no such command");
    assert!(matches!(error, BrokerError::Ctl { .. }), "{error}");

    node.set_memory_alarm(true).expect("an alarm");
    assert!(node.ctl(&["list_connections"]).is_ok(), "the node still answers");
    node.set_memory_alarm(false).expect("no alarm");

    let other = RabbitMq::attach(&dir).expect("it is there");
    assert_eq!(other.url(), node.url());
    other.kill().expect("it dies");
    assert_eq!(node.pid(), None);
    assert!(TcpStream::connect(node.addr()).is_err());
    other.kill().expect("no error if it is dead");

    other.restart().expect("it comes back");
    drop(other);
    let second = node.pid().expect("an attached handle ends nothing");
    assert_ne!(first, second);
    let hosts = node.ctl(&["list_vhosts"]).expect("the virtual hosts");
    assert!(hosts.lines().any(|host| host == "kept"), "{hosts}");

    node.stop().expect("it stops");
    assert_eq!(node.pid(), None);
    drop(node);
    assert!(!dir.exists(), "the temporary folder is deleted");
}

#[test]
fn a_node_that_cannot_start_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start::new().dir(folder.path()).config("no_such_setting = 1");
    let error = RabbitMq::start(&start).expect_err("it cannot start");
    assert!(matches!(&error, BrokerError::NotReady { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert_eq!(RabbitMq::attach(folder.path()).expect("its state is kept").pid(), None);
}

#[test]
fn redis_keeps_its_data_over_kill_9() {
    let server = Redis::start(&Start::new()).expect("a server");
    assert_eq!(ask(&server, "SET kept yes"), "+OK\r\n");
    server.kill().expect("it dies");
    assert_eq!(server.pid(), None);
    assert!(TcpStream::connect(server.addr()).is_err());
    Redis::attach(server.dir()).expect("it is there").restart().expect("it comes back");
    assert_eq!(ask(&server, "GET kept"), "$3\r\nyes\r\n");
    server.stop().expect("it stops");
    assert_eq!(server.pid(), None);
}

#[test]
fn a_kept_folder_goes_on_with_its_data_and_detached_brokers_with_their_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start::new().dir(folder.path());
    let server = Redis::start(&start).expect("a server");
    let port = server.port();
    assert_eq!(ask(&server, "SET kept yes"), "+OK\r\n");
    server.detach();
    let error = Redis::start(&start).expect_err("one runs there");
    assert!(matches!(error, BrokerError::Folder { .. }), "{error}");
    let server = Redis::attach(folder.path()).expect("it is there");
    server.stop().expect("it stops");
    let server = Redis::start(&start).expect("a server");
    assert_eq!(server.port(), port);
    assert_eq!(ask(&server, "GET kept"), "$3\r\nyes\r\n");
}

#[test]
fn attaching_to_nothing_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(RabbitMq::attach(folder.path()), Err(BrokerError::Folder { .. })));
    assert!(matches!(Redis::attach(folder.path()), Err(BrokerError::Folder { .. })));
    assert!(matches!(Redis::attach(folder.path().join("none")), Err(BrokerError::Io { .. })));
}

/// Runs itself in a second process, which is killed while it holds a broker.
#[test]
fn a_broker_does_not_outlive_a_killed_process() {
    if std::env::var_os(HELPER).is_some() {
        let server = Redis::start(&Start::new()).expect("a server");
        println!("folder={}", server.dir().display());
        loop {
            std::thread::park();
        }
    }
    let mut helper = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", "a_broker_does_not_outlive_a_killed_process"])
        .env(HELPER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let lines = BufReader::new(helper.stdout.take().expect("its output")).lines();
    let dir = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("folder=").map(|(_, dir)| PathBuf::from(dir)))
        .expect("it says where its broker is");
    let server = Redis::attach(&dir).expect("it is there");
    assert!(server.pid().is_some());
    helper.kill().expect("a process that can be killed");
    helper.wait().expect("it is dead");

    let deadline = Instant::now() + Duration::from_secs(10);
    while (server.pid().is_some() || dir.exists()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.pid(), None, "the server is still there");
    assert!(!dir.exists(), "its folder is still there");
    assert!(TcpStream::connect(server.addr()).is_err());
}

fn ask(server: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(server.addr()).expect("a connection");
    write!(stream, "{command}\r\nQUIT\r\n").expect("a command");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.strip_suffix("+OK\r\n").expect("the answer to QUIT").to_owned()
}
