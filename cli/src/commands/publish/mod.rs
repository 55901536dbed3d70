//! `swarrot publish`.

mod arguments;
mod input;
mod tally;

use std::sync::Arc;

use futures_util::future::{FusedFuture as _, FutureExt as _};
use swarrot::{MessagePublisher, PublisherOptions};

pub(crate) use self::arguments::Args;
use self::input::{Input, Item};
use self::tally::Tally;
use crate::exit::Exit;
use crate::failure::Result;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;

/// Messages in one call: several times what a publisher has in flight, so that its end, when the broker waits for us, is rare.
const BATCH: usize = 1024;

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
    // One call at a time, since the order of several is not known.
    let mut flying = std::pin::pin!(futures_util::future::Fuse::terminated());
    let mut reading = true;
    loop {
        tokio::select! {
            () = session.stop.asked(), if reading => reading = false,
            items = take(&mut input, &pace, batch), if reading && flying.is_terminated() => {
                if items.is_empty() {
                    reading = false;
                } else {
                    pace.took(items.len());
                    flying.set(publish(Arc::clone(&publisher), items).fuse());
                }
            }
            results = &mut flying, if !flying.is_terminated() => {
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
