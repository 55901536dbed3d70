//! A process that publishes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use swarrot::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ledger::{Deed, Ledger};
use crate::load::Mix;

const BATCH: u32 = 5;
/// How long one message is published again and again.
const PATIENCE: Duration = Duration::from_secs(180);
/// For one try, so that a broker that does not answer is told from one that does.
const TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    url: String,
    #[arg(long)]
    queue: String,
    #[arg(long)]
    ledger: PathBuf,
    /// What ids begin with
    #[arg(long)]
    name: String,
    /// How many publish at once
    #[arg(long)]
    tasks: u32,
    /// Messages a second, of all together
    #[arg(long)]
    rate: u32,
    /// Messages in all; without it, until it is told to stop
    #[arg(long)]
    count: Option<u32>,
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    mix: Mix,
}

/// Publishes until told to stop, or as many as it was told.
///
/// # Errors
/// If a message was refused for good, or not confirmed for a long time.
pub(crate) async fn run(args: Args) -> Result<()> {
    crate::worker::log();
    let ledger = Ledger::create(&args.ledger)?;
    let broker = crate::worker::connect(&args.url).await?;
    let publisher = broker.publisher("", PublisherOptions::default().timeout(TIMEOUT)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut term = signal(SignalKind::terminate())?;
    let told = Arc::clone(&stop);
    tokio::spawn(async move {
        term.recv().await;
        told.store(true, Ordering::Relaxed);
    });
    let mut tasks = JoinSet::new();
    for task in 0..args.tasks {
        let publishing = Publishing {
            publisher: Arc::clone(&publisher),
            ledger: ledger.clone(),
            stop: Arc::clone(&stop),
            task,
            args: args.clone(),
        };
        tasks.spawn(publishing.run());
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    publisher.close().await.context("cannot close the publisher")?;
    broker.close().await.context("cannot close the broker")
}

struct Publishing {
    publisher: Arc<dyn MessagePublisher>,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    task: u32,
    args: Args,
}

impl Publishing {
    async fn run(self) -> Result<()> {
        let Args { name, count, tasks, rate, seed, mix, .. } = &self.args;
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(self.task.into()));
        let every = Duration::from_secs_f64(f64::from(BATCH * tasks) / f64::from(*rate));
        let own = count.map_or(u32::MAX, |count| count / tasks + u32::from(self.task < count % tasks));
        let mut next = Instant::now();
        let mut number = 0;
        while number < own && !self.stop.load(Ordering::Relaxed) {
            let numbers = number..own.min(number + BATCH);
            number = numbers.end;
            let ids = numbers.map(|n| format!("{name}.{}.{n}.{}", self.task, mix.kind_of(n, &mut rng).letter()));
            self.insist(ids.collect()).await?;
            // Without catching up on what a fault has held up.
            next = (next + every).max(Instant::now());
            sleep_until(next).await;
        }
        Ok(())
    }

    /// Publishes these, and what fails again and again: what a caller does whose messages matter.
    async fn insist(&self, mut ids: Vec<String>) -> Result<()> {
        self.ledger.note(Deed::Sent, ids.iter().map(String::as_str)).await;
        let end = Instant::now() + PATIENCE;
        loop {
            let batch: Vec<_> = ids.iter().map(|id| self.outgoing(id)).collect();
            let results = self.publisher.publish(&batch).await;
            let mut confirmed = Vec::new();
            let mut failed = Vec::new();
            let mut last = None;
            for (id, result) in ids.into_iter().zip(results) {
                match result {
                    Ok(()) => confirmed.push(id),
                    // A queue that was deleted is made again by its workers.
                    Err(error) if error.is_temporary() || error.kind() == ErrorKind::Unroutable => {
                        failed.push(id);
                        last = Some(error);
                    }
                    Err(error) => return Err(error).with_context(|| format!("cannot publish {id}")),
                }
            }
            self.ledger.note(Deed::Confirmed, confirmed.iter().map(String::as_str)).await;
            let Some(error) = last else { return Ok(()) };
            if Instant::now() > end {
                bail!("{} messages are not confirmed after {PATIENCE:?}: {error}", failed.len());
            }
            eprintln!("faults: publishing {} again: {error}", failed.len());
            ids = failed;
            sleep(PAUSE).await;
        }
    }

    fn outgoing(&self, id: &str) -> Outgoing {
        Outgoing::new(&self.args.queue, Message::new(id.to_owned()).id(id))
    }
}
