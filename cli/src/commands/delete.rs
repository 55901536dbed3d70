//! `swarrot delete`.

use serde_json::json;
use swarrot::message::names;

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::{confirm, count};
use crate::session::Session;

/// Deletes a queue with its messages; its dead letters stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    queue: String,
    /// Deletes its dead-letter queue too
    #[arg(long)]
    with_dead: bool,
    /// Does not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let Args { queue, with_dead, yes } = args;
    let broker = session.connect().await?;
    let stats = broker.stats(&queue).await?;
    let dead = if with_dead { stats.parked.unwrap_or(0) } else { 0 };
    let lost = count(stats.ready + dead, "message");
    confirm(yes, &format!("The queue {queue:?} would be deleted, and {lost} with it."), session).await?;
    broker.delete(&queue).await?;
    let mut deleted = vec![queue.clone()];
    if with_dead {
        let dead = names::dead_letter_queue(&queue);
        broker.delete(&dead).await?;
        deleted.push(dead);
    }
    session.output.print(&json!({ "deleted": deleted }), || format!("deleted {}", deleted.join(" and ")))?;
    broker.close().await?;
    Ok(Exit::Done)
}
