//! `swarrot tail`.

use std::num::NonZeroUsize;
use std::time::Duration;

use swarrot::topology::{Queue, Topology};
use swarrot::{Broker, DeadLetter, Delivery, Outcome, ProviderOptions, Settlement, Value};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::{Document, describe};
use crate::session::Session;

/// How long the broker keeps our queue after we have died, in milliseconds.
const EXPIRES: i64 = 60_000;
/// Copies that wait for us; the broker forgets older ones.
const WAITING: i64 = 10_000;
/// Messages taken together.
const BATCH: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");
/// How long one call waits.
const WAIT: Duration = Duration::from_secs(5);

/// Shows what flows through an exchange: a copy of each message, which others get as well
///
/// The copies come through a queue of its own, which is deleted at the end. If this process dies, RabbitMQ deletes it a
/// minute later. If it is too slow, it misses messages. On Redis it is not possible: nothing would delete the queue.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    exchange: String,
    /// Only what is published by this routing key, or for a topic exchange by this pattern; all, unless told
    #[arg(long, default_value = "#")]
    key: String,
    /// Ends after so many
    #[arg(long)]
    max: Option<NonZeroUsize>,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    if session.scheme(None).starts_with("redis") {
        let line = "tail works on RabbitMQ and in memory: Redis would keep the queue of a tail that died; use `peek`";
        return Err(Failure::new(line));
    }
    let broker = session.connect().await?;
    let name = format!("swarrot.tail.{}", uuid::Uuid::now_v7().simple());
    let mut queue = Queue::new(&name).classic().dead_letter(DeadLetter::Drop);
    if session.scheme(None).starts_with("amqp") {
        queue = queue
            .argument("x-expires", Value::Int(EXPIRES))
            .argument("x-max-length", Value::Int(WAITING))
            .argument("x-overflow", "drop-head");
    }
    let bound = broker.declare(&Topology::new().queue(queue).bind(&args.exchange, &name, &args.key)).await;
    let shown = match bound {
        Ok(()) => show(&*broker, &name, &args, session).await,
        Err(error) => Err(error.into()),
    };
    // Whatever happened.
    let deleted = broker.delete(&name).await;
    shown?;
    deleted?;
    broker.close().await?;
    Ok(if session.stop.is_asked() { Exit::Signal } else { Exit::Done })
}

async fn show(broker: &dyn Broker, queue: &str, args: &Args, session: &Session) -> Result<()> {
    let provider = broker.provider(queue, ProviderOptions::default()).await?;
    let mut left = args.max.map_or(usize::MAX, NonZeroUsize::get);
    while let Some(max) = NonZeroUsize::new(left) {
        let seen = tokio::select! {
            seen = provider.receive(max.min(BATCH), WAIT) => seen,
            () = session.stop.asked() => break,
        };
        // The provider mends its connection, and the queue is declared anew.
        let seen = match seen {
            Err(error) if error.is_temporary() => continue,
            seen => seen?,
        };
        for delivery in &seen {
            session.output.print(&Document::of_delivery(delivery), || text(delivery))?;
        }
        left -= seen.len();
        let settlements: Vec<_> = seen.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        // What was lost to a broken connection was a copy, and has been shown.
        let _ = provider.settle(&settlements).await;
    }
    provider.close().await?;
    Ok(())
}

fn text(delivery: &Delivery) -> String {
    format!("{:<16} {}\n{}\n", "routing key", delivery.routing_key(), describe(delivery.message()))
}
