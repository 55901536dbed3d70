//! `swarrot bench`.

mod latency;
mod measure;
mod report;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use swarrot::topology::{Queue, Topology};
use swarrot::{Broker, DeadLetter};

use self::report::Figures;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::parse;
use crate::session::Session;

/// Measures how fast a broker is from here: publishing, receiving, and from one end to the other
///
/// It works on a queue of its own, which it deletes. Every publish is confirmed, every message acked. Latencies are
/// measured at a fixed rate, from when a message was due to be published, so that a broker that stalls is not let off.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker, in place of --url
    broker: Option<String>,
    /// Messages published and received for the rates
    #[arg(long, default_value = "20000")]
    messages: NonZeroU64,
    /// Bytes of each body
    #[arg(long, default_value = "1K", value_parser = parse::size)]
    size: u64,
    /// Messages handled at once
    #[arg(long, default_value = "100")]
    concurrency: NonZeroUsize,
    /// Messages a second while latencies are measured
    #[arg(long, default_value = "200", value_parser = parse::rate)]
    rate: f64,
    /// How long latencies are measured
    #[arg(long, default_value = "5s", value_parser = parse::duration)]
    time: Duration,
    /// On a queue that is kept on one node, not replicated
    #[arg(long)]
    classic: bool,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let url = args.broker.as_deref();
    let broker = session.connect_to(url).await?;
    let info = broker.describe().await?;
    let name = format!("swarrot.bench.{}", uuid::Uuid::now_v7().simple());
    let queue = Queue::new(&name).dead_letter(DeadLetter::Drop);
    let queue = if args.classic { queue.classic() } else { queue };
    broker.declare(&Topology::new().queue(queue)).await?;
    let measured = tokio::select! {
        measured = measure_all(&*broker, &name, &args) => measured,
        () = session.stop.asked() => Err(Failure::signal("stopped by a signal before all was measured")),
    };
    // Whatever happened.
    let deleted = broker.delete(&name).await;
    let figures = measured?;
    deleted?;
    let title = format!("{} {} at {}", info.product, info.version, session.broker_name(url));
    session.output.print(&report::json(&figures, &args, &info), || report::text(&figures, &args, &title))?;
    broker.close().await?;
    Ok(if session.stop.is_asked() { Exit::Signal } else { Exit::Done })
}

async fn measure_all(broker: &dyn Broker, queue: &str, args: &Args) -> Result<Figures> {
    let body = vec![b'x'; usize::try_from(args.size).unwrap_or(usize::MAX)];
    let publish = measure::publish(broker, queue, &body, args.messages.get()).await?;
    let receive = measure::receive(broker, queue, args.messages.get(), args.concurrency.get()).await?;
    let (confirm, through) = latency::measure(broker, queue, &body, args.rate, args.time).await?;
    Ok(Figures { publish, receive, confirm, through })
}
