//! `swarrot get`.

use std::num::NonZeroUsize;
use std::time::Duration;

use swarrot::{Delivery, MessageProvider, Outcome, ProviderOptions, Settlement};

use crate::exit::Exit;
use crate::failure::Result;
use crate::message::{Document, describe};
use crate::parse;
use crate::session::Session;

/// Takes messages out of a queue and prints them
///
/// A message is acked once it is printed: if the output is closed, it stays in the queue.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    queue: String,
    /// At most so many
    #[arg(long, default_value = "1")]
    max: NonZeroUsize,
    /// Waits so long for the first and for each further one
    #[arg(long, default_value = "1s", value_parser = parse::duration)]
    wait: Duration,
    /// Prints nothing but the body, byte by byte, without a line break behind it
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let broker = session.connect().await?;
    let prefetch = u16::try_from(args.max.get().min(100)).ok().and_then(std::num::NonZeroU16::new);
    let options = prefetch.map_or_else(ProviderOptions::default, |n| ProviderOptions::default().prefetch(n));
    let provider = broker.provider(&args.queue, options).await?;
    let taken = take(&*provider, &args, session).await;
    // Only once it is closed are the acks sure to have been processed, and what was not acked is given back.
    let closed = provider.close().await;
    taken?;
    closed?;
    broker.close().await?;
    Ok(if session.stop.is_asked() { Exit::Signal } else { Exit::Done })
}

async fn take(provider: &dyn MessageProvider, args: &Args, session: &Session) -> Result<()> {
    for _ in 0..args.max.get() {
        let received = tokio::select! {
            received = provider.receive(NonZeroUsize::MIN, args.wait) => received?,
            () = session.stop.asked() => break,
        };
        let Some(delivery) = received.first() else { break };
        print(delivery, args.raw, session)?;
        provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await?;
    }
    Ok(())
}

fn print(delivery: &Delivery, raw: bool, session: &Session) -> Result<()> {
    if raw {
        return session.output.raw(delivery.body());
    }
    session.output.print(&Document::of_delivery(delivery), || describe(delivery.message()))
}
