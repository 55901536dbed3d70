//! `swarrot publish`.

mod arguments;
mod input;
mod tally;

use std::sync::Arc;

use futures_util::stream::{FuturesOrdered, StreamExt as _};
use swarrot::{MessagePublisher, PublisherOptions};

pub(crate) use self::arguments::Args;
use self::input::{Input, Item};
use self::tally::Tally;
use crate::exit::Exit;
use crate::failure::Result;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;

/// Messages in one call.
const BATCH: usize = 256;
/// Calls at once, so that the broker never waits for us.
const IN_FLIGHT: usize = 4;

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    // What is wrong with the arguments is told before anything is connected.
    let template = args.template()?;
    let mut input = Input::open(&args, template)?;
    let mut pace = Pace::new(args.rate);
    let batch = pace.batch(BATCH);

    let broker = session.connect().await?;
    let options = PublisherOptions::default().timeout(args.timeout);
    let publisher = broker.publisher(args.exchange.as_deref().unwrap_or_default(), options).await?;
    let progress = Progress::new(input.total(), "publishing");
    let mut tally = Tally::new(args.is_single());
    let mut flying = FuturesOrdered::new();
    let mut reading = true;
    loop {
        tokio::select! {
            () = session.stop.asked(), if reading => reading = false,
            items = take(&mut input, &pace, batch), if reading && flying.len() < IN_FLIGHT => {
                if items.is_empty() {
                    reading = false;
                } else {
                    pace.took(items.len());
                    flying.push_back(publish(Arc::clone(&publisher), items));
                }
            }
            Some(results) = flying.next(), if !flying.is_empty() => {
                progress.add(results.len());
                tally.add(results, &progress);
                reading &= args.keep_going || !tally.has_failures();
            }
            else => break,
        }
    }
    drop(progress);
    publisher.close().await?;
    broker.close().await?;
    tally.end(session)
}

/// The next items, once they may go. Cancel safe.
async fn take(input: &mut Input, pace: &Pace, max: usize) -> Vec<Item> {
    pace.ready().await;
    input.next(max).await
}

/// What became of an item: the number of its line, and why it failed.
type Done = (u64, Result<(), swarrot::Error>);

/// Publishes those that are fit for it.
async fn publish(publisher: Arc<dyn MessagePublisher>, items: Vec<Item>) -> Vec<Done> {
    let (lines, items): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.line, item.outgoing)).unzip();
    let batch: Vec<_> = items.iter().filter_map(|outgoing| outgoing.as_ref().ok().cloned()).collect();
    let mut results = publisher.publish(&batch).await.into_iter();
    let result = |outgoing| match outgoing {
        Ok(_) => results.next().unwrap_or(Ok(())),
        Err(error) => Err(error),
    };
    lines.into_iter().zip(items.into_iter().map(result)).collect()
}
