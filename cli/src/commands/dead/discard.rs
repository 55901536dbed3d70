//! `swarrot dead drop`.

use swarrot::Sweep;

use super::selection::Selection;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::{confirm, count};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{Action, go_through};

/// Deletes dead letters
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    #[command(flatten)]
    selection: Selection,
    /// At most so many
    #[arg(long)]
    max: Option<u64>,
    /// Does not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, _) = super::both(&args.queue);
    let broker = session.connect().await?;
    let ready = broker.stats(&dead).await?.ready;
    let which = args.selection.words();
    confirm(args.yes, &format!("{which} of {} in {dead:?} would be lost.", count(ready, "message")))?;
    let sweep = Sweep::open(&*broker, &dead).await?;
    let progress = Progress::new(Some(sweep.left()), "dropping");
    let choice = args.selection.choice(args.max);
    let tally = go_through(sweep, choice, Pace::new(None), &Action::Drop, session, &progress).await?;
    drop(progress);
    broker.close().await?;
    tally.end("dropped", &dead, session)
}
