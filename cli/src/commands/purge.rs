//! `swarrot purge`.

use serde_json::json;

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::{confirm, count};
use crate::session::Session;

/// Deletes the messages that wait in a queue; those that are worked on stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    queue: String,
    /// Does not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let Args { queue, yes } = args;
    let broker = session.connect().await?;
    let ready = broker.stats(&queue).await?.ready;
    confirm(yes, &format!("{} in {queue:?} would be lost.", count(ready, "message")), session).await?;
    let purged = broker.purge(&queue).await?;
    session.output.print(&json!({ "queue": queue, "purged": purged }), || {
        format!("{} deleted from {queue:?}", count(purged, "message"))
    })?;
    broker.close().await?;
    Ok(Exit::Done)
}
