//! Runs the cases of a comparison in turn, round after round.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use swarrot::prelude::*;
use swarrot::topology::QueueKind;
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
    /// How often each side runs, where that is not left to the command line.
    pub(crate) rounds: Option<usize>,
    pub(crate) sides: Vec<Side>,
}

impl Comparison {
    /// Of bodies of 200 B, in a queue that is empty at the beginning.
    pub(crate) fn new(title: impl Into<String>, shape: Shape, place: Place, messages: u64, sides: Vec<Side>) -> Self {
        Self { title: title.into(), shape, place, filled: false, messages, size: 200, rounds: None, sides }
    }

    /// The messages are in the queue at the beginning.
    pub(crate) fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// Of bodies of so many bytes.
    pub(crate) fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    /// Runs each side so often.
    pub(crate) fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = Some(rounds);
        self
    }
}

/// One of the ways.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) label: String,
    case: &'static str,
    args: Vec<String>,
    /// Whether the others are compared with it.
    pub(crate) reference: bool,
    /// Another library: its case is in the program of those, which fills its queue and checks that all is handled.
    peer: bool,
    /// What it promises less than the reference, or does not do.
    pub(crate) but: &'static str,
    /// A part of the messages, for what is slow.
    part: u64,
    /// Messages that stand in the queue behind those that are handled.
    behind: u64,
}

impl Side {
    pub(crate) fn new(label: &str, case: &'static str) -> Self {
        Self {
            label: label.to_owned(),
            case,
            args: Vec::new(),
            reference: false,
            peer: false,
            but: "",
            part: 1,
            behind: 0,
        }
    }

    /// Another library, and what it promises less than swarrot or does not do.
    pub(crate) fn peer(label: &str, case: &'static str, but: &'static str) -> Self {
        Self { peer: true, but, ..Self::new(label, case) }
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

    /// Puts so many more messages into the queue, which stay there.
    pub(crate) fn behind(mut self, behind: u64) -> Self {
        self.behind = behind;
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
    /// For each side, what it promises less than the reference, or does not do; empty where there is no such thing.
    #[serde(default)]
    pub(crate) buts: Vec<String>,
}

/// Runs comparisons.
pub(crate) struct Runner {
    pub(crate) servers: Servers,
    runtime: Runtime,
    rounds: usize,
    own: PathBuf,
    /// The program with the cases of other libraries.
    peers: Option<PathBuf>,
}

impl Runner {
    pub(crate) fn new(rounds: usize, peers: Option<PathBuf>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { servers: Servers::default(), runtime, rounds, own: env::current_exe()?, peers })
    }

    /// Runs all sides in each round, each time in another order; where nothing but waiting is compared, all at once.
    ///
    /// # Errors
    /// If a case fails, or leaves a message behind.
    pub(crate) fn run(&mut self, comparison: &Comparison) -> Result<Outcomes> {
        let (url, pid) = self.servers.at(comparison.place)?;
        let at = At { url: &url, pid, comparison };
        let mut sides: Vec<_> =
            comparison.sides.iter().map(|side| (side.label.clone(), side.reference, Vec::new())).collect();
        let outcomes = |sides| {
            let buts = comparison.sides.iter().map(|side| side.but.to_owned()).collect();
            Outcomes { title: comparison.title.clone(), shape: comparison.shape, sides, buts }
        };
        if comparison.shape == Shape::Idle {
            eprintln!("{}", comparison.title);
            for ((_, _, rounds), figures) in sides.iter_mut().zip(self.all_at_once(&at)?) {
                rounds.push(figures);
            }
            return Ok(outcomes(sides));
        }
        let rounds = comparison.rounds.unwrap_or(self.rounds);
        for round in 0..rounds {
            for turn in 0..sides.len() {
                let index = (turn + round) % sides.len();
                let side = &comparison.sides[index];
                let figures = self.one(&at, side);
                let figures = figures.with_context(|| format!("{}: {}", comparison.title, side.label))?;
                sides[index].2.push(figures);
            }
            eprint!("\r{}: round {} of {rounds}   ", comparison.title, round + 1);
        }
        eprintln!();
        Ok(outcomes(sides))
    }

    /// Runs a side by itself, with a queue made for it.
    fn one(&self, at: &At<'_>, side: &Side) -> Result<Figures> {
        let messages = at.comparison.messages / side.part;
        let fill = at.comparison.filled && !side.peer;
        let broker = self.prepare(at, if fill { messages + side.behind } else { 0 })?;
        let figures = self.case(at, side, messages)?;
        if let Some(broker) = broker {
            self.runtime.block_on(check(&*broker, at.comparison, side))?;
        }
        if side.peer {
            // On Redis it has names of its own, which nobody else knows.
            self.runtime.block_on(servers::clear(at.comparison.place, at.url))?;
        }
        Ok(figures)
    }

    /// Runs all sides on one empty queue.
    fn all_at_once(&self, at: &At<'_>) -> Result<Vec<Figures>> {
        let broker = self.prepare(at, 0)?;
        let figures = thread::scope(|scope| {
            let sides = at.comparison.sides.iter();
            let running: Vec<_> = sides.map(|side| scope.spawn(move || self.case(at, side, 1))).collect();
            running.into_iter().map(|side| side.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
        });
        if let Some(broker) = broker {
            self.runtime.block_on(async {
                broker.delete(at.comparison.place.queue()).await?;
                broker.close().await
            })?;
        }
        figures
    }

    fn prepare(&self, at: &At<'_>, messages: u64) -> Result<Option<Arc<dyn Broker>>> {
        match at.comparison.place {
            Place::Memory => Ok(None),
            _ => self.runtime.block_on(prepare(at, messages)).map(Some),
        }
    }

    /// Runs a side's case in a process of its own.
    fn case(&self, at: &At<'_>, side: &Side, messages: u64) -> Result<Figures> {
        if side.peer && at.comparison.filled {
            self.aside("fill", at, side, messages)?;
        }
        let mut command = self.command("case", at, side, messages)?;
        let before = at.pid.map_or(0.0, servers::cpu);
        let output = command.output().context("cannot run a case")?;
        let after = at.pid.map_or(0.0, servers::cpu);
        if !output.status.success() {
            bail!("the case failed: {}", output.status);
        }
        if side.peer {
            self.aside("check", at, side, messages)?;
        }
        let mut figures: Figures = serde_json::from_slice(&output.stdout).context("cannot read what a case printed")?;
        figures.broker = (after - before) / figures.messages as f64;
        Ok(figures)
    }

    /// Does what belongs to a case but not to what it costs.
    fn aside(&self, what: &str, at: &At<'_>, side: &Side, messages: u64) -> Result<()> {
        let status = self.command(what, at, side, messages)?.status();
        let status = status.with_context(|| format!("cannot run {what}"))?;
        ensure!(status.success(), "{what} failed: {status}");
        Ok(())
    }

    fn command(&self, what: &str, at: &At<'_>, side: &Side, messages: u64) -> Result<Command> {
        let program = if side.peer { self.peers.as_ref().context("there are no cases of peers")? } else { &self.own };
        let mut command = Command::new(program);
        command.args([what, side.case, "--url", at.url, "--queue", at.comparison.place.queue()]);
        command.arg("--messages").arg(messages.to_string()).arg("--size").arg(at.comparison.size.to_string());
        command.args(&side.args).stderr(Stdio::inherit());
        Ok(command)
    }
}

/// Where a comparison happens.
struct At<'a> {
    url: &'a str,
    /// The broker's process.
    pid: Option<i32>,
    comparison: &'a Comparison,
}

/// Makes the queue anew, and fills it.
async fn prepare(at: &At<'_>, messages: u64) -> Result<Arc<dyn Broker>> {
    let broker = swarrot::connect(at.url).await?;
    let name = at.comparison.place.queue();
    let queue = match at.comparison.place {
        Place::RabbitMq(kind) => Queue::new(name).kind(kind),
        _ => Queue::new(name),
    };
    broker.delete(name).await?;
    broker.declare(&Topology::new().queue(queue)).await?;
    if messages > 0 {
        let options = Options::for_filling(at.url, name, messages, at.comparison.size);
        cases::fill(&*broker, &options).await?;
        wait(&*broker, name, messages).await?;
    }
    Ok(broker)
}

/// Waits until the broker counts so many messages.
async fn wait(broker: &dyn Broker, queue: &str, messages: u64) -> Result<()> {
    let mut ready = 0;
    for _ in 0..500 {
        ready = broker.stats(queue).await?.ready;
        if ready == messages {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the queue has {ready} messages instead of {messages}")
}

/// Nothing may be left of what was to be handled.
async fn check(broker: &dyn Broker, comparison: &Comparison, side: &Side) -> Result<()> {
    let queue = comparison.place.queue();
    // With more behind them, a few of those were handled too before the worker had stopped; peers are checked by their program.
    if comparison.filled && side.behind == 0 && !side.peer && !side.leaves(comparison.place) {
        wait(broker, queue, 0).await?;
        let parked = broker.stats(queue).await?.parked.unwrap_or(0);
        ensure!(parked == 0, "{parked} messages were parked");
    }
    broker.delete(queue).await?;
    broker.close().await?;
    Ok(())
}

impl Side {
    /// Whether it acknowledges messages without deleting them; or, on a quorum queue, may close its connection before RabbitMQ has
    /// passed on the last acknowledgements, which are forgotten then.
    fn leaves(&self, place: Place) -> bool {
        match self.case {
            "redis-tuned" | "redis-each" => true,
            "amqp-plain" => place == Place::RabbitMq(QueueKind::Quorum),
            _ => false,
        }
    }
}
