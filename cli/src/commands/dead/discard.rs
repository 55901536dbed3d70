//! `swarrot dead drop`.

use super::selection::Selection;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::{confirm, count};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{Action, go_through, open};

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
    let question = format!("{which} of {} in {dead:?} would be lost.", count(ready, "message"));
    confirm(args.yes, &question, session).await?;
    let choice = args.selection.choice(args.max);
    let sweep = open(&*broker, &dead, &choice).await?;
    let progress = Progress::new(Some(sweep.left()), "dropping");
    let mut tally = go_through(sweep, choice, Pace::new(None), &Action::Drop, session, &progress).await;
    drop(progress);
    tally.also(broker.close().await);
    tally.end("dropped", &dead, session)
}
