//! `cargo xtask test`: all tests, on private brokers.

use std::env;
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use swarrot_conformance::brokers::{BrokerError, RabbitMq, Redis, Start};

use crate::python::PYTHON;
use crate::steps::{say, seconds, step};
use crate::{install, interrupt, lanes, python, workspace};

/// A node that no test may disturb.
pub(crate) const AMQP_URL: &str = "SWARROT_TEST_AMQP_URL";
/// The folder of a node that tests may kill, for `RabbitMq::attach`.
pub(crate) const AMQP_NODE: &str = "SWARROT_TEST_AMQP_NODE";
/// A Redis server that no test may disturb.
pub(crate) const REDIS_URL: &str = "SWARROT_TEST_REDIS_URL";

#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// For `cargo test`, such as `-p swarrot-amqp` or, behind another `--`, `--nocapture`
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Runs the tests of the workspace with all features, and its doc tests.
///
/// # Errors
/// If a test fails, or brokers or a Python with pika cannot be had.
pub(crate) fn run(args: &Args) -> Result<()> {
    interrupt::handle()?;
    let started = Instant::now();
    if python::given().is_some() {
        install::brokers()?;
    } else {
        install::brokers_and_python()?;
    }

    // They take some five to ten seconds, which the build takes too.
    let steady = Starting::unless_given(AMQP_URL, "RabbitMQ", RabbitMq::start, RabbitMq::url);
    let node = Starting::unless_given(AMQP_NODE, "RabbitMQ to break", RabbitMq::start, folder);
    let redis = Starting::unless_given(REDIS_URL, "Redis", Redis::start, Redis::url);

    let python = python::with_pika()?;
    let mut build = workspace::cargo(&["test"])?;
    let selection = selection(&args.cargo);
    let for_cargo = args.cargo.iter().take_while(|arg| *arg != "--");
    step("build the tests", build.args(selection).arg("--no-run").args(for_cargo))?;

    // Held until the tests are done; they end when they are dropped, whatever happens.
    let steady = steady.wait()?;
    let node = node.wait()?;
    let redis = redis.wait()?;
    let variables = [
        (AMQP_URL, steady.value.clone()),
        (AMQP_NODE, node.value.clone()),
        (REDIS_URL, redis.value.clone()),
        (PYTHON, python.display().to_string()),
    ];
    say(format_args!("testing starts after {}", seconds(started.elapsed())));
    let done = if args.cargo.is_empty() {
        all(&variables)
    } else {
        let mut test = workspace::cargo(&["test"])?;
        // One failing program should not hide what others have to say.
        step("tests", test.args(selection).arg("--no-fail-fast").args(&args.cargo).envs(variables))
    };

    drop((steady, node, redis));
    say(format_args!("the brokers that were started have ended; all took {}", seconds(started.elapsed())));
    done
}

fn all(variables: &[(&str, String)]) -> Result<()> {
    let programs = lanes::run(variables);
    if programs.as_ref().is_err_and(anyhow::Error::is::<interrupt::Interrupted>) {
        return programs;
    }
    let mut doc = workspace::cargo(&["test", "--workspace", "--all-features", "--no-fail-fast", "--doc"])?;
    let doc = step("doc tests", doc.envs(variables.iter().map(|(name, value)| (name, value))));
    programs.and(doc)
}

/// All of the workspace, unless the arguments choose.
fn selection(args: &[String]) -> &'static [&'static str] {
    let chooses = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
    let for_cargo = args.iter().take_while(|arg| *arg != "--");
    if for_cargo.into_iter().any(chooses) { &["--all-features"] } else { &["--workspace", "--all-features"] }
}

fn folder(node: &RabbitMq) -> String {
    node.dir().display().to_string()
}

/// A broker that starts in the background.
enum Starting<B> {
    Given(String),
    Thread(JoinHandle<Result<Started<B>, BrokerError>>),
}

/// A broker that runs, and the value of the variable that names it.
struct Started<B> {
    value: String,
    _broker: Option<B>,
}

impl<B: Send + 'static> Starting<B> {
    /// Whoever has set the variable wants to use a broker of their own.
    fn unless_given(
        variable: &'static str,
        name: &'static str,
        start: fn(&Start) -> Result<B, BrokerError>,
        value: fn(&B) -> String,
    ) -> Self {
        if let Ok(value) = env::var(variable) {
            say(format_args!("{name}: {variable} is set, so nothing is started"));
            return Self::Given(value);
        }
        say(format_args!("{name}: starting in the background"));
        Self::Thread(spawn(move || {
            let started = Instant::now();
            let broker = start(&Start::new())?;
            say(format_args!("{name}: answered after {}, {}", seconds(started.elapsed()), value(&broker)));
            Ok(Started { value: value(&broker), _broker: Some(broker) })
        }))
    }

    fn wait(self) -> Result<Started<B>> {
        match self {
            Self::Given(value) => Ok(Started { value, _broker: None }),
            Self::Thread(thread) => {
                let started = thread.join().map_err(|_| anyhow!("the thread that starts a broker panicked"))?;
                started.context("cannot start a broker")
            }
        }
    }
}
