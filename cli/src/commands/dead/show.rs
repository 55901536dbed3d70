//! `swarrot dead show`.

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::{Document, describe};
use crate::session::Session;
use crate::sweeping::{Choice, look};

/// Shows one dead letter with all that is known of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    /// Its id, as `dead list` shows it
    id: String,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, _) = super::both(&args.queue);
    let broker = session.connect().await?;
    let mut choice = Choice::default().ids(std::slice::from_ref(&args.id));
    let mut found = None;
    // What is near the head is found without taking anything, where the broker can do that.
    for max in [Some(1000), None] {
        look(&*broker, &dead, max, session, |message| {
            if choice.take(message) {
                found = Some(message.clone());
            }
            Ok(found.is_none())
        })
        .await?;
        if found.is_some() || broker.stats(&dead).await?.ready <= 1000 {
            break;
        }
    }
    let message = found.ok_or_else(|| Failure::new(format!("no message with the id {:?} in {dead:?}", args.id)))?;
    session.output.print(&Document::of_message(&dead, &message), || describe(&message))?;
    broker.close().await?;
    Ok(Exit::Done)
}
