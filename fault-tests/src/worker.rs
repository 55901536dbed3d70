//! A process that handles messages.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use swarrot::prelude::*;
use tokio::time::{Instant, sleep};

use crate::ledger::{Deed, Ledger};
use crate::load::{FAILURES, Keeping, Kind, topology};

/// How long to try to reach a broker that may just be down.
const CONNECT: Duration = Duration::from_secs(120);
const RETRY_AFTER: Duration = Duration::from_millis(300);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    url: String,
    #[arg(long)]
    queue: String,
    #[arg(long)]
    keeping: Keeping,
    #[arg(long)]
    ledger: PathBuf,
    /// Messages at once
    #[arg(long)]
    concurrency: u16,
    /// The most that handling one message takes, in milliseconds
    #[arg(long)]
    work: u64,
    #[arg(long)]
    crash_limit: u32,
}

/// Handles messages until it gets a signal.
///
/// # Errors
/// If the worker ends in another way.
pub(crate) async fn run(args: Args) -> Result<()> {
    log();
    let ledger = Ledger::create(&args.ledger)?;
    let broker = connect(&args.url).await?;
    let topology = topology(&args.queue, args.keeping);
    insist(|| broker.declare(&topology)).await?;
    let provider = insist(|| broker.provider(&args.queue, ProviderOptions::default())).await?;
    let handler = move |delivery: Delivery| {
        let ledger = ledger.clone();
        let work = Duration::from_millis(fastrand::u64(0..=args.work));
        async move {
            sleep(work).await;
            handle(&ledger, &delivery).await
        }
    };
    let report = Worker::new(provider)
        .concurrency(args.concurrency.into())
        .prefetch(NonZeroU16::new(args.concurrency.saturating_mul(2)).unwrap_or(NonZeroU16::MIN))
        .crash_limit(args.crash_limit)
        .layer(Retry::fixed(RETRY_AFTER).attempts(FAILURES + 2))
        .run(handler)
        .await?;
    eprintln!("faults: {report}");
    match broker.close().await {
        // The connection is gone all the same, and what was held is the broker's again.
        Err(error) if error.is_temporary() => eprintln!("faults: {error}"),
        closed => closed.context("cannot close the broker")?,
    }
    if !report.is_clean() {
        bail!("handlers were cancelled: {report}");
    }
    Ok(())
}

async fn handle(ledger: &Ledger, delivery: &Delivery) -> Result<(), BoxError> {
    let id = delivery.id();
    match Kind::of(id) {
        Some(Kind::Twice) if delivery.attempt() <= FAILURES => {
            ledger.note(Deed::Failed, [id]).await;
            Err("not yet".into())
        }
        Some(Kind::Plain | Kind::Twice) => {
            ledger.note(Deed::Done, [id]).await;
            Ok(())
        }
        Some(Kind::Poison) => {
            ledger.note(Deed::Crashed, [id]).await;
            std::process::abort();
        }
        Some(Kind::Hopeless) => {
            ledger.note(Deed::GaveUp, [id]).await;
            Err(Permanent::new("hopeless").into())
        }
        None => Err(Permanent::new(format!("the message {id:?} is none of ours")).into()),
    }
}

/// Logs to standard error.
pub(crate) fn log() {
    let filter = tracing_subscriber::EnvFilter::new("info,lapin=off");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Connects to a broker, which may be down just now.
pub(crate) async fn connect(url: &str) -> Result<Arc<dyn Broker>> {
    insist(|| swarrot::connect(url)).await
}

async fn insist<T, F: Future<Output = swarrot::Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    let end = Instant::now() + CONNECT;
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_temporary() && Instant::now() < end => {
                eprintln!("faults: {error}");
                sleep(RETRY_AFTER).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
