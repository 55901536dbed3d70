//! The three stages of stopping by signal, each on a process of its own: this program runs itself as a worker, and as a
//! supervisor of two.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use swarrot::prelude::*;

fn main() -> ExitCode {
    if let Some(handler) = std::env::var_os("SIGNALS_TEST_HANDLER") {
        let supervised = std::env::var_os("SIGNALS_TEST_SUPERVISED").is_some();
        return work(handler.to_str().expect("ASCII"), supervised);
    }
    let mut trials = Vec::new();
    for (kind, workers) in [("worker", 1), ("supervisor", 2)] {
        let mut add = |name: &str, trial: fn(u32) -> Result<(), Failed>| {
            trials.push(Trial::test(format!("{kind}::{name}"), move || trial(workers)));
        };
        add("the_first_lets_handlers_finish", |workers| first("TERM", workers));
        add("sigint_and_sigquit_stop_too", |workers| first("INT", workers).and_then(|()| first("QUIT", workers)));
        add("the_second_cancels_handlers", second);
        add("the_third_ends_the_process", third);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The process under test: a worker on one message, or a supervisor of two on one each, with a handler that is slow in one way
/// or another.
#[tokio::main(flavor = "multi_thread", worker_threads = 3)]
async fn work(handler: &str, supervised: bool) -> ExitCode {
    let broker = swarrot::connect("memory://").await.expect("connects");
    broker.declare(&Topology::new().queue(Queue::new("q"))).await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    for _ in 0..if supervised { 2 } else { 1 } {
        publisher.publish_one(Outgoing::new("q", Message::new("m"))).await.expect("publishes");
    }
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
    let (stopped, counts) = if supervised {
        let make = {
            let broker = broker.clone();
            move || {
                let (broker, handle) = (broker.clone(), handle.clone());
                async move {
                    let provider = broker.provider("q", ProviderOptions::default()).await?;
                    Ok::<_, BoxError>(Worker::new(provider).ready(handle))
                }
            }
        };
        let report = Supervisor::new().workers("one", 2, make).restart_on_limit().run().await.expect("a report");
        (report.stopped.clone().expect("by a signal"), report.counts())
    } else {
        let provider = broker.provider("q", ProviderOptions::default()).await.expect("a provider");
        let report = Worker::new(provider).run(handle).await.expect("a report");
        (report.stopped, report.counts)
    };
    println!("{stopped}, acked {}, cancelled {}", counts.acked, counts.cancelled);
    ExitCode::SUCCESS
}

struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    /// Starts so many workers, and waits until their handlers run.
    fn start(handler: &str, workers: u32) -> Result<Self, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env("SIGNALS_TEST_HANDLER", handler).stdout(Stdio::piped());
        if workers > 1 {
            command.env("SIGNALS_TEST_SUPERVISED", "yes");
        }
        let mut child = command.spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut process = Self { child, output };
        for _ in 0..workers {
            if process.line()? != "started" {
                return Err("the handler did not start".into());
            }
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

fn first(signal: &str, workers: u32) -> Result<(), Failed> {
    let mut process = Process::start("short", workers)?;
    process.signal(signal)?;
    expect(&process.line()?, &format!("SIG{signal}, acked {workers}, cancelled 0"))?;
    expect(&process.end()?, &Some(0))
}

fn second(workers: u32) -> Result<(), Failed> {
    let mut process = Process::start("long", workers)?;
    process.signal("TERM")?;
    // Two signals of one kind that nobody has looked at yet are one.
    process.signal("INT")?;
    expect(&process.line()?, &format!("SIGTERM, acked 0, cancelled {workers}"))?;
    expect(&process.end()?, &Some(0))
}

fn third(workers: u32) -> Result<(), Failed> {
    let mut process = Process::start("blocking", workers)?;
    for signal in ["TERM", "INT", "QUIT"] {
        process.signal(signal)?;
    }
    let code = process.end()?;
    // 128 and the signal's number; which of the three is seen last is the system's choice.
    if [130, 131, 143].map(Some).contains(&code) { Ok(()) } else { Err(format!("exit code {code:?}").into()) }
}
