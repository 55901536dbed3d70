//! The three stages of stopping by signal, each on a process of its own: this program runs itself as the worker.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use swarrot::prelude::*;

fn main() -> ExitCode {
    if let Some(handler) = std::env::var_os("SIGNALS_TEST_HANDLER") {
        return worker(handler.to_str().expect("ASCII"));
    }
    let trials = vec![
        Trial::test("the_first_lets_handlers_finish", || first("TERM")),
        Trial::test("sigint_and_sigquit_stop_too", || ["INT", "QUIT"].into_iter().try_for_each(first)),
        Trial::test("the_second_cancels_handlers", second),
        Trial::test("the_third_ends_the_process", third),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The process under test: a worker on one message, with a handler that is slow in one way or another.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn worker(handler: &str) -> ExitCode {
    let broker = swarrot::connect("memory://").await.expect("connects");
    broker.declare(&Topology::new().queue(Queue::new("q"))).await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    publisher.publish_one(Outgoing::new("q", Message::new("m"))).await.expect("publishes");
    let provider = broker.provider("q", ProviderOptions::default()).await.expect("a provider");
    let kind = handler.to_owned();
    let handle = move || {
        let kind = kind.clone();
        async move {
            println!("started");
            match kind.as_str() {
                "short" => tokio::time::sleep(Duration::from_millis(500)).await,
                "long" => tokio::time::sleep(Duration::from_secs(60)).await,
                // Never gives its thread back, so that it cannot be cancelled.
                "blocking" => std::thread::sleep(Duration::from_secs(60)),
                other => panic!("unknown handler {other}"),
            }
        }
    };
    let report = Worker::new(provider).run(handle).await.expect("a report");
    println!("{}, acked {}, cancelled {}", report.stopped, report.counts.acked, report.counts.cancelled);
    ExitCode::SUCCESS
}

struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    /// Starts the worker, and waits until its handler runs.
    fn start(handler: &str) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .env("SIGNALS_TEST_HANDLER", handler)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut process = Self { child, output };
        if process.line()? != "started" {
            return Err("the handler did not start".into());
        }
        Ok(process)
    }

    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn signal(&self, name: &str) -> Result<(), Failed> {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("kill: {sent}").into()) }
    }

    /// Waits for the end, for ten seconds at most, and returns the exit code.
    fn end(&mut self) -> Result<Option<i32>, Failed> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                return Err("the process goes on".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(got: &T, expected: &T) -> Result<(), Failed> {
    if got == expected { Ok(()) } else { Err(format!("{got:?} instead of {expected:?}").into()) }
}

fn first(signal: &str) -> Result<(), Failed> {
    let mut process = Process::start("short")?;
    process.signal(signal)?;
    expect(&process.line()?, &format!("SIG{signal}, acked 1, cancelled 0"))?;
    expect(&process.end()?, &Some(0))
}

fn second() -> Result<(), Failed> {
    let mut process = Process::start("long")?;
    process.signal("TERM")?;
    // Two signals of one kind that nobody has looked at yet are one.
    process.signal("INT")?;
    expect(&process.line()?, &"SIGTERM, acked 0, cancelled 1".to_owned())?;
    expect(&process.end()?, &Some(0))
}

fn third() -> Result<(), Failed> {
    let mut process = Process::start("blocking")?;
    for signal in ["TERM", "INT", "QUIT"] {
        process.signal(signal)?;
    }
    let code = process.end()?;
    // 128 and the signal's number; which of the three is seen last is the system's choice.
    if [130, 131, 143].map(Some).contains(&code) { Ok(()) } else { Err(format!("exit code {code:?}").into()) }
}
