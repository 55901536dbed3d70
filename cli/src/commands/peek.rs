//! `swarrot peek`.

use std::num::NonZeroU64;

use crate::exit::Exit;
use crate::failure::Result;
use crate::message::{Document, describe};
use crate::session::Session;
use crate::sweeping::look;

/// Looks at the next messages of a queue without taking them
///
/// RabbitMQ cannot do that: there, messages are taken and given back, which marks them as redelivered and, before
/// RabbitMQ 4.3, counts towards the delivery limit of a quorum queue.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    queue: String,
    /// At most so many
    #[arg(long, default_value = "10")]
    max: NonZeroU64,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let broker = session.connect().await?;
    look(&*broker, &args.queue, Some(args.max.get()), session, |message| {
        session.output.print(&Document::of_message(&args.queue, message), || format!("{}\n", describe(message)))?;
        Ok(true)
    })
    .await?;
    broker.close().await?;
    Ok(Exit::Done)
}
