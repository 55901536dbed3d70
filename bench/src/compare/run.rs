//! Runs the cases of a comparison in turn, round after round.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use swarrot::prelude::*;
use tokio::runtime::Runtime;

use super::servers::{self, Place, Servers};
use super::table::Shape;
use crate::cases::{self, Options};
use crate::figures::Figures;

/// Cases that do the same in several ways.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    /// Whether the queue is full at the beginning.
    pub(crate) filled: bool,
    pub(crate) messages: u64,
    pub(crate) size: usize,
    pub(crate) sides: Vec<Side>,
}

/// One of the ways.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) label: String,
    case: &'static str,
    args: Vec<String>,
    /// Whether the others are compared with it.
    pub(crate) reference: bool,
    /// A part of the messages, for what is slow.
    part: u64,
}

impl Side {
    pub(crate) fn new(label: &str, case: &'static str) -> Self {
        Self { label: label.to_owned(), case, args: Vec::new(), reference: false, part: 1 }
    }

    /// Adds options, separated by blanks.
    pub(crate) fn with(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// Compares the others with it.
    pub(crate) fn reference(mut self) -> Self {
        self.reference = true;
        self
    }

    /// Gives it only the `part`-th part of the messages.
    pub(crate) fn slow(mut self, part: u64) -> Self {
        self.part = part;
        self
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    pub(crate) title: String,
    pub(crate) shape: Shape,
    /// For each side, its label, whether it is a reference, and its figures in each round.
    pub(crate) sides: Vec<(String, bool, Vec<Figures>)>,
}

/// Runs comparisons.
pub(crate) struct Runner {
    pub(crate) servers: Servers,
    runtime: Runtime,
    rounds: usize,
    own: PathBuf,
}

impl Runner {
    pub(crate) fn new(rounds: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { servers: Servers::default(), runtime, rounds, own: env::current_exe()? })
    }

    /// Runs all sides in each round, each time in another order.
    ///
    /// # Errors
    /// If a case fails, or leaves a message behind.
    pub(crate) fn run(&mut self, comparison: &Comparison) -> Result<Outcomes> {
        let (url, pid) = self.servers.at(comparison.place)?;
        let mut sides: Vec<_> =
            comparison.sides.iter().map(|side| (side.label.clone(), side.reference, Vec::new())).collect();
        for round in 0..self.rounds {
            for turn in 0..sides.len() {
                let index = (turn + round) % sides.len();
                let side = &comparison.sides[index];
                let figures = self.one(comparison, side, &url, pid);
                let figures = figures.with_context(|| format!("{}: {}", comparison.title, side.label))?;
                sides[index].2.push(figures);
            }
            eprint!("\r{}: round {} of {}   ", comparison.title, round + 1, self.rounds);
        }
        eprintln!();
        Ok(Outcomes { title: comparison.title.clone(), shape: comparison.shape, sides })
    }

    fn one(&self, comparison: &Comparison, side: &Side, url: &str, pid: Option<i32>) -> Result<Figures> {
        let messages = comparison.messages / side.part;
        let broker = match comparison.place {
            Place::Memory => None,
            place => Some(self.runtime.block_on(prepare(place, url, comparison, messages))?),
        };
        let mut command = Command::new(&self.own);
        command.args(["case", side.case, "--url", url, "--queue", comparison.place.queue()]);
        command.arg("--messages").arg(messages.to_string()).arg("--size").arg(comparison.size.to_string());
        command.args(&side.args).stderr(Stdio::inherit());
        let before = pid.map_or(0.0, servers::cpu);
        let output = command.output().context("cannot run a case")?;
        let after = pid.map_or(0.0, servers::cpu);
        if !output.status.success() {
            bail!("the case failed: {}", output.status);
        }
        let mut figures: Figures = serde_json::from_slice(&output.stdout).context("cannot read what a case printed")?;
        figures.broker = (after - before) / figures.messages as f64;
        if let Some(broker) = broker {
            self.runtime.block_on(check(&*broker, comparison, side))?;
        }
        Ok(figures)
    }
}

/// Makes the queue anew, and fills it.
async fn prepare(place: Place, url: &str, comparison: &Comparison, messages: u64) -> Result<Arc<dyn Broker>> {
    let broker = swarrot::connect(url).await?;
    let name = place.queue();
    let queue = match place {
        Place::RabbitMq(kind) => Queue::new(name).kind(kind),
        _ => Queue::new(name),
    };
    broker.delete(name).await?;
    broker.declare(&Topology::new().queue(queue)).await?;
    if comparison.filled {
        let options = Options::for_filling(url, name, messages, comparison.size);
        cases::fill(&*broker, &options).await?;
        wait(&*broker, name, messages).await?;
    }
    Ok(broker)
}

/// Waits until the broker counts so many messages.
async fn wait(broker: &dyn Broker, queue: &str, messages: u64) -> Result<()> {
    for _ in 0..500 {
        if broker.stats(queue).await?.ready == messages {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the queue does not have {messages} messages")
}

/// Nothing may be left of what was to be handled.
async fn check(broker: &dyn Broker, comparison: &Comparison, side: &Side) -> Result<()> {
    let queue = comparison.place.queue();
    if comparison.filled && !side.leaves() {
        wait(broker, queue, 0).await?;
        let parked = broker.stats(queue).await?.parked.unwrap_or(0);
        ensure!(parked == 0, "{parked} messages were parked");
    }
    broker.delete(queue).await?;
    broker.close().await?;
    Ok(())
}

impl Side {
    /// Whether it acknowledges messages without deleting them.
    fn leaves(&self) -> bool {
        matches!(self.case, "redis-tuned" | "redis-each")
    }
}
