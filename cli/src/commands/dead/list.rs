//! `swarrot dead list`.

use swarrot::Message;

use crate::exit::Exit;
use crate::failure::Result;
use crate::message::{Document, Filter};
use crate::output::{ago, count, table};
use crate::session::Session;
use crate::sweeping::{Choice, look, say_not_seen};

/// Lists dead letters: what failed, why, how often, since when
///
/// The exact times are in the output of --json, and in that of `dead show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    /// Only those for which this holds, such as type=mail, reason~timeout or tenant=7 (a header); may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<Filter>,
    /// Looks at so many at most
    #[arg(long, default_value = "1000")]
    max: u64,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, _) = super::both(&args.queue);
    let broker = session.connect().await?;
    let all = broker.stats(&dead).await?.ready;
    let mut choice = Choice::by(&args.filters);
    let mut rows = Vec::new();
    let not_seen = look(&*broker, &dead, Some(args.max), session, |message| {
        if choice.take(message) {
            if session.output.is_json() {
                session.output.print(&Document::of_message(&dead, message), String::new)?;
            } else {
                rows.push(row(message));
            }
        }
        Ok(true)
    })
    .await?;
    if !session.output.is_json() {
        let mut text = table(&["id", "type", "attempts", "first failed", "last failed", "reason"], rows);
        if all > args.max {
            let shown = format!("the first {} of {}; --max shows more", args.max, count(all, "message"));
            text.extend(["\n\n", &shown]);
        }
        session.output.print(&(), || text)?;
    }
    broker.close().await?;
    say_not_seen(not_seen);
    Ok(if not_seen == 0 { Exit::Done } else { Exit::Partly })
}

fn row(message: &Message) -> Vec<String> {
    let p = &message.properties;
    let failure = message.failure();
    let of = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), ago);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        text(&p.message_id),
        text(&p.message_type),
        failure.as_ref().map_or_else(|| "-".to_owned(), |failure| failure.attempts.to_string()),
        of(failure.as_ref().and_then(|failure| failure.first_at)),
        of(failure.as_ref().and_then(|failure| failure.last_at)),
        failure.and_then(|failure| failure.reason).unwrap_or_else(|| "-".to_owned()),
    ]
}
