//! `swarrot dead retry`.

use swarrot::{Delivery, PublisherOptions};

use super::selection::Selection;
use crate::exit::Exit;
use crate::failure::Result;
use crate::pace::Pace;
use crate::parse;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{Action, again, go_through, open};

/// Puts dead letters back into the queue where they failed
///
/// Their attempts begin anew; the history of their failures stays. Each is confirmed there before it leaves the dead
/// letters: a crash can make a duplicate, never a loss. What fails again meanwhile is not taken a second time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    #[command(flatten)]
    selection: Selection,
    /// Puts them into this queue instead
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// At most so many
    #[arg(long)]
    max: Option<u64>,
    /// At most so many a second
    #[arg(long, value_parser = parse::rate)]
    rate: Option<f64>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, source) = super::both(&args.queue);
    let broker = session.connect().await?;
    if let Some(to) = &args.to {
        broker.stats(to).await?;
    }
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let choice = args.selection.choice(args.max);
    let sweep = open(&*broker, &dead, &choice).await?;
    let progress = Progress::new(Some(sweep.left()), "retrying");
    let make = |delivery: &Delivery| again(delivery, args.to.as_deref(), &source);
    let action = Action::Forward(publisher, &make);
    let mut tally = go_through(sweep, choice, Pace::new(args.rate), &action, session, &progress).await;
    drop(progress);
    tally.also(broker.close().await);
    tally.end("retried", &dead, session)
}
