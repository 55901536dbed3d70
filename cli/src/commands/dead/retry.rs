//! `swarrot dead retry`.

use swarrot::message::names;
use swarrot::{Delivery, Outgoing, PublisherOptions, Sweep};

use super::selection::Selection;
use crate::exit::Exit;
use crate::failure::Result;
use crate::pace::Pace;
use crate::parse;
use crate::progress::Progress;
use crate::session::Session;
use crate::sweeping::{Action, go_through};

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
    let sweep = Sweep::open(&*broker, &dead).await?;
    let progress = Progress::new(Some(sweep.left()), "retrying");
    let make = |delivery: &Delivery| again(delivery, args.to.as_deref(), &source);
    let action = Action::Forward(publisher, &make);
    let choice = args.selection.choice(args.max);
    let tally = go_through(sweep, choice, Pace::new(args.rate), &action, session, &progress).await?;
    drop(progress);
    broker.close().await?;
    tally.end("retried", &dead, session)
}

/// The message to where it should go, or failed, or would have failed if it does not say.
fn again(delivery: &Delivery, to: Option<&str>, source: &str) -> Outgoing {
    let mut outgoing = Outgoing::redrive(delivery).unwrap_or_else(|_| {
        // Somebody else has put it there.
        let mut message = delivery.moved_copy();
        message.headers.remove(names::RETRY_ATTEMPTS);
        Outgoing::copy(source, message)
    });
    if let Some(to) = to {
        to.clone_into(&mut outgoing.routing_key);
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use swarrot::{Message, Reason, Receipt};

    use super::*;

    #[test]
    fn to_where_it_failed_unless_told() {
        let failed = Delivery::new("mails", Receipt::new(1, 1), Message::new("b"));
        let parked = Delivery::new("q.dead", Receipt::new(1, 2), failed.dead_letter_copy(&Reason::new("no")));
        assert_eq!(again(&parked, None, "q").routing_key, "mails");
        assert_eq!(again(&parked, Some("other"), "q").routing_key, "other");
        let foreign = Message::new("b").header(names::RETRY_ATTEMPTS, 3_i64);
        let foreign = again(&Delivery::new("q.dead", Receipt::new(1, 3), foreign), None, "q");
        assert_eq!((foreign.routing_key.as_str(), foreign.message.retry_attempts()), ("q", 0));
    }
}
