//! Running the program, and preparing a broker for it.

use std::future::Future;
use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value as Json;
use swarrot::prelude::*;

/// Makes a test of each function on each broker.
macro_rules! on_brokers {
    ($($name:ident),* $(,)?) => {
        mod amqp {
            $(#[test] fn $name() { super::$name(&$crate::support::Place::amqp(stringify!($name))); })*
        }
        mod redis {
            $(#[test] fn $name() { super::$name(&$crate::support::Place::redis(stringify!($name))); })*
        }
    };
}
pub(crate) use on_brokers;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, and a queue on it that is this test's own.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) queue: String,
}

impl Place {
    pub(crate) fn amqp(test: &str) -> Self {
        Self::new("SWARROT_TEST_AMQP_URL", test)
    }

    pub(crate) fn redis(test: &str) -> Self {
        let mut place = Self::new("SWARROT_TEST_REDIS_URL", test);
        // What a killed process held comes back after a lease.
        place.url.push_str(if place.url.contains('?') { "&lease=5s" } else { "?lease=5s" });
        place
    }

    fn new(variable: &str, test: &str) -> Self {
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} is not set; run `cargo xtask test -- -p swarrot-cli`"));
        let place = Self { url, queue: format!("{test}.{}", &uuid::Uuid::now_v7().simple().to_string()[20..]) };
        place.declare(Topology::new().queue(Queue::new(&place.queue)));
        place
    }

    pub(crate) fn is_redis(&self) -> bool {
        self.url.starts_with("redis")
    }

    /// A name of this test's own.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.queue)
    }

    pub(crate) fn declare(&self, topology: Topology) {
        self.on_broker(async move |broker| broker.declare(&topology).await.expect("declares"));
    }

    /// Does something with the library.
    pub(crate) fn on_broker<F, Fut, T>(&self, run: F) -> T
    where
        F: FnOnce(Arc<dyn Broker>) -> Fut,
        Fut: Future<Output = T>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let broker = swarrot::connect(&self.url).await.expect("connects");
            let done = run(Arc::clone(&broker)).await;
            broker.close().await.expect("closes");
            done
        })
    }

    /// Declares a queue without arguments, over a plain AMQP connection.
    pub(crate) fn declare_as_others_do(&self, queue: &str, options: QueueDeclareOptions) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let properties = ConnectionProperties::default();
            let connection = Connection::connect(&self.url, properties).await.expect("connects");
            let channel = connection.create_channel().await.expect("a channel");
            channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("declares");
            connection.close(200, "done".into()).await.expect("closes");
        });
    }

    /// The program with these arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.start(args).end()
    }

    /// The program with these arguments and this input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut running = self.start_with(args, Stdio::piped());
        let mut stdin = running.child.stdin.take().expect("its input");
        // It may end before it has read all.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        running.end()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, Stdio::null())
    }

    pub(crate) fn start_with(&self, args: &[&str], stdin: Stdio) -> Running {
        let mut command = program();
        command.args(args).env("SWARROT_URL", &self.url).stdin(stdin);
        Running::start(command)
    }

    /// The program with an output that nobody reads.
    pub(crate) fn start_unread(&self, args: &[&str]) -> Running {
        let mut command = program();
        command.args(args).env("SWARROT_URL", &self.url).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let readers = vec![read(std::io::empty()), read(child.stderr.take().expect("stderr"))];
        Running { child, readers }
    }

    /// Publishes these bodies.
    pub(crate) fn publish(&self, bodies: &[&str]) {
        let lines = bodies.join("\n");
        self.run_with(&["publish", &self.queue], &lines).expect_code(0);
    }

    /// The counts of a queue, once they are like this.
    pub(crate) fn counts(&self, queue: &str, expected: impl Fn(&Json) -> bool) -> Json {
        let began = Instant::now();
        loop {
            let counts = self.run(&["count", queue, "--json"]).expect_code(0).json()[0].clone();
            if expected(&counts) || began.elapsed() > PATIENCE {
                assert!(expected(&counts), "{counts}");
                return counts;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until so many messages are ready.
    pub(crate) fn ready(&self, queue: &str, messages: u64) {
        self.counts(queue, |counts| counts["ready"] == messages);
    }
}

/// The program, in no environment that would change what it prints.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarrot"));
    command.env_remove("SWARROT_URL").env_remove("SWARROT_LOG").env("COLUMNS", "200");
    command
}

/// The program with these arguments and no broker.
pub(crate) fn run(args: &[&str]) -> Ran {
    let mut command = program();
    command.args(args).stdin(Stdio::null());
    Running::start(command).end()
}

/// The program while it runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    readers: Vec<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let readers = vec![read(child.stdout.take().expect("stdout")), read(child.stderr.take().expect("stderr"))];
        Self { child, readers }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "no signal was sent");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        let began = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status.code();
            }
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut texts = std::mem::take(&mut self.readers).into_iter().map(|reader| reader.join().expect("no panic"));
        let (out, err) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        Ran { code, out, err }
    }
}

/// Reads to the end, so that the program never waits for a reader.
fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What there is by then is shown.
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if it had to be killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// It failed with this code and one line that says these words.
    #[track_caller]
    pub(crate) fn expect_line(self, code: i32, words: &[&str]) -> Self {
        let ran = self.expect_code(code);
        assert_eq!(ran.err.lines().count(), 1, "one line: {ran:?}");
        for word in words {
            assert!(ran.err.contains(word), "{word:?} is missing: {ran:?}");
        }
        assert!(ran.err.starts_with("swarrot: "), "{ran:?}");
        ran
    }

    /// The output as one document.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The output as a document a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Json> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.out.lines().map(parse).collect()
    }

    /// What the documents have under this key, as text.
    #[track_caller]
    pub(crate) fn each(&self, key: &str) -> Vec<String> {
        self.lines().iter().map(|line| line[key].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether there is such a process. A zombie has ended.
pub(crate) fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
