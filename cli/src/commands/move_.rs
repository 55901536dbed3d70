//! `swarrot move`.

use swarrot::{Outgoing, PublisherOptions};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::Filter;
use crate::pace::Pace;
use crate::parse;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{Action, Choice, go_through, open};

/// Moves the messages that wait in one queue to another
///
/// Each is confirmed in the new queue before it leaves the old one: a crash can make a duplicate, never a loss. Messages that
/// come meanwhile stay. While it runs, it holds what does not match.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    from: String,
    to: String,
    /// At most so many
    #[arg(long)]
    max: Option<u64>,
    /// At most so many a second
    #[arg(long, value_parser = parse::rate)]
    rate: Option<f64>,
    /// Only those for which this holds, such as type=mail, reason~timeout or tenant=7 (a header); may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<Filter>,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    if args.from == args.to {
        return Err(Failure::usage("both queues are the same; name another one"));
    }
    let broker = session.connect().await?;
    // A mistake in its name is told before anything is taken.
    broker.stats(&args.to).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let choice = Choice::by(&args.filters).max(args.max);
    let sweep = open(&*broker, &args.from, &choice).await?;
    let progress = Progress::new(Some(sweep.left()), "moving");
    let make = |delivery: &swarrot::Delivery| Outgoing::copy(&args.to, delivery.moved_copy());
    let action = Action::Forward(publisher, &make);
    let mut tally = go_through(sweep, choice, Pace::new(args.rate), &action, session, &progress).await;
    drop(progress);
    tally.also(broker.close().await);
    tally.end("moved", &args.from, session)
}
