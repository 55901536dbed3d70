//! `cargo xtask brokers`: brokers for working by hand.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use swarrot_conformance::brokers::{BrokerError, RabbitMq, Redis, Start};

use crate::python::PYTHON;
use crate::steps::{say, seconds};
use crate::test::{AMQP_NODE, AMQP_URL, REDIS_URL};
use crate::{install, interrupt, python, rabbitmq4, workspace};

const STEADY: &str = "rabbitmq";
const NODE: &str = "rabbitmq-to-break";
const REDIS: &str = "redis";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Starts those that do not run, and leaves them running
    Up,
    /// Ends them; their data is kept for the next `up`
    Down,
    /// Prints what a shell needs to use them: `eval "$(cargo xtask brokers env)"`
    Env,
    /// Says which run
    Status,
    /// Makes a RabbitMQ 4.0 that is used in the place of the system's, in a Debian 13 of its own in the cache folder
    #[command(name = "rabbitmq-4")]
    RabbitMq4(rabbitmq4::Args),
}

/// Does one of these.
///
/// # Errors
/// If a broker cannot be installed, started or ended; for `env`, if one does not run.
pub(crate) fn run(command: &Command) -> Result<()> {
    let home = workspace::root()?.join(".brokers");
    match command {
        Command::Up => up(&home),
        Command::Down => down(&home),
        Command::Env => env(&home),
        Command::Status => {
            status(&home);
            Ok(())
        }
        Command::RabbitMq4(args) => rabbitmq4::run(args),
    }
}

fn up(home: &Path) -> Result<()> {
    // Until all are up, they end with this program, however it ends.
    interrupt::handle()?;
    install::brokers()?;
    let (steady, node, redis) = thread::scope(|scope| {
        let steady = scope.spawn(|| up_one(home.join(STEADY), RabbitMq::start, RabbitMq::attach, RabbitMq::pid));
        let node = scope.spawn(|| up_one(home.join(NODE), RabbitMq::start, RabbitMq::attach, RabbitMq::pid));
        let redis = scope.spawn(|| up_one(home.join(REDIS), Redis::start, Redis::attach, Redis::pid));
        (join(steady), join(node), join(redis))
    });
    let (steady, node, redis) = (steady?, node?, redis?);
    [steady, node].into_iter().flatten().for_each(RabbitMq::detach);
    redis.into_iter().for_each(Redis::detach);
    say("`cargo xtask brokers down` ends them; `eval \"$(cargo xtask brokers env)\"` tells a shell of them");
    Ok(())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("the thread that starts a broker panicked")))
}

/// `None` if it runs already.
fn up_one<B>(
    dir: PathBuf,
    start: fn(&Start) -> Result<B, BrokerError>,
    attach: fn(PathBuf) -> Result<B, BrokerError>,
    pid: fn(&B) -> Option<i32>,
) -> Result<Option<B>> {
    let name = dir.file_name().unwrap_or_default().display().to_string();
    if attach(dir.clone()).ok().and_then(|broker| pid(&broker)).is_some() {
        say(format_args!("{name} runs already"));
        return Ok(None);
    }
    let started = Instant::now();
    let broker = start(&Start::new().dir(dir))?;
    say(format_args!("{name} answered after {}", seconds(started.elapsed())));
    Ok(Some(broker))
}

fn down(home: &Path) -> Result<()> {
    for broker in Found::all(home) {
        let ran = broker.handle.as_ref().is_some_and(|handle| handle.pid().is_some());
        // What belongs to it may run even if it does not.
        broker.handle.map_or(Ok(()), |handle| handle.stop())?;
        say(format_args!("{} {}", broker.name, if ran { "has ended" } else { "did not run" }));
    }
    Ok(())
}

fn env(home: &Path) -> Result<()> {
    // All or nothing, so that a shell does not get half of it.
    let mut lines = Vec::new();
    for broker in Found::all(home) {
        if broker.handle.as_ref().and_then(Handle::pid).is_none() {
            bail!("{} does not run: run `cargo xtask brokers up`", broker.name);
        }
        lines.push(export(broker.variable, &broker.value()));
    }
    // No broker, but what tests need beside them, where they have run before.
    if let Some(python) = python::made()? {
        lines.push(export(PYTHON, &python.display().to_string()));
    }
    print!("{}", lines.concat());
    Ok(())
}

fn export(variable: &str, value: &str) -> String {
    // A quote within quotes.
    format!("export {variable}='{}'\n", value.replace('\'', r"'\''"))
}

fn status(home: &Path) {
    for broker in Found::all(home) {
        let state = match broker.handle.as_ref().and_then(Handle::pid) {
            Some(pid) => format!("runs as process {pid}, {}={}", broker.variable, broker.value()),
            None => "does not run".to_owned(),
        };
        println!("{:<17} {state}", broker.name);
    }
}

/// One of the brokers in `.brokers/`, if it was ever started.
struct Found {
    name: &'static str,
    variable: &'static str,
    handle: Option<Handle>,
}

enum Handle {
    RabbitMq(RabbitMq),
    Redis(Redis),
}

impl Found {
    fn all(home: &Path) -> [Self; 3] {
        let rabbitmq = |name| RabbitMq::attach(home.join(name)).ok().map(Handle::RabbitMq);
        let redis = |name| Redis::attach(home.join(name)).ok().map(Handle::Redis);
        [
            Self { name: STEADY, variable: AMQP_URL, handle: rabbitmq(STEADY) },
            Self { name: NODE, variable: AMQP_NODE, handle: rabbitmq(NODE) },
            Self { name: REDIS, variable: REDIS_URL, handle: redis(REDIS) },
        ]
    }

    /// The value of its variable: a folder for the one to be broken, a URL for the others.
    fn value(&self) -> String {
        match &self.handle {
            Some(Handle::RabbitMq(node)) if self.name == NODE => node.dir().display().to_string(),
            Some(Handle::RabbitMq(node)) => node.url(),
            Some(Handle::Redis(server)) => server.url(),
            None => String::new(),
        }
    }
}

impl Handle {
    fn pid(&self) -> Option<i32> {
        match self {
            Self::RabbitMq(node) => node.pid(),
            Self::Redis(server) => server.pid(),
        }
    }

    fn stop(&self) -> Result<(), BrokerError> {
        match self {
            Self::RabbitMq(node) => node.stop(),
            Self::Redis(server) => server.stop(),
        }
    }
}
