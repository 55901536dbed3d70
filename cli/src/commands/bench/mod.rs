//! `swarrot bench`.

mod latency;
mod measure;
mod report;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use swarrot::topology::{Queue, Topology};
use swarrot::{Broker, DeadLetter, Limits, Value};

use self::report::Figures;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::parse;
use crate::session::Session;

/// How long the broker keeps our queue after we have died, in milliseconds: longer than it takes to publish, when nobody
/// receives from it.
const EXPIRES: i64 = 3_600_000;

/// Measures how fast a broker is from here: publishing, receiving, and from one end to the other
///
/// It works on a queue of its own, which it deletes. If this process dies, RabbitMQ deletes it an hour later; on Redis it
/// stays until `swarrot delete`. Every publish is confirmed, every message acked. Latencies are
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
    let body = body(args.size)?;
    let broker = session.connect_to(url).await?;
    let info = broker.describe().await?;
    let name = format!("swarrot.bench.{}", uuid::Uuid::now_v7().simple());
    let queue = Queue::new(&name).dead_letter(DeadLetter::Drop);
    let queue = if args.classic { queue.classic() } else { queue };
    let queue =
        if session.scheme(url).starts_with("amqp") { queue.argument("x-expires", Value::Int(EXPIRES)) } else { queue };
    let measured = tokio::select! {
        measured = measure_all(&*broker, queue, &body, &args) => measured,
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

/// A body of so many bytes.
///
/// # Errors
/// If no publisher would take it.
fn body(size: u64) -> Result<Vec<u8>> {
    let limit = Limits::default().body;
    match usize::try_from(size) {
        Ok(size) if size <= limit => Ok(vec![b'x'; size]),
        _ => Err(Failure::usage(format!(
            "a body of {size} bytes is above the limit of {limit}; choose a smaller --size"
        ))),
    }
}

async fn measure_all(broker: &dyn Broker, queue: Queue, body: &[u8], args: &Args) -> Result<Figures> {
    let name = queue.name.clone();
    broker.declare(&Topology::new().queue(queue)).await?;
    let publish = measure::publish(broker, &name, body, args.messages.get()).await?;
    let receive = measure::receive(broker, &name, args.messages.get(), args.concurrency.get()).await?;
    let (confirm, through) = latency::measure(broker, &name, body, args.rate, args.time).await?;
    Ok(Figures { publish, receive, confirm, through })
}
