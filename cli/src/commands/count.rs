//! `swarrot count`.

use serde::Serialize;
use swarrot::{ErrorKind, QueueStats};

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::table;
use crate::queues::named_or_all;
use crate::session::Session;

/// Counts the messages of queues: ready, unsettled, delayed, dead
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The queues; all that there are, unless told, where the broker tells: on Redis, and not on RabbitMQ
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
}

/// The numbers of a queue; `null` is what the broker does not tell.
#[derive(Debug, Serialize)]
struct Counts {
    queue: String,
    ready: u64,
    unsettled: Option<u64>,
    delayed: Option<u64>,
    dead: Option<u64>,
    providers: Option<u64>,
}

impl Counts {
    fn new(queue: String, stats: QueueStats) -> Self {
        let QueueStats { ready, unsettled, delayed, parked, providers, .. } = stats;
        Self { queue, ready, unsettled, delayed, dead: parked, providers }
    }

    fn row(&self) -> Vec<String> {
        let known = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let numbers = [Some(self.ready), self.unsettled, self.delayed, self.dead, self.providers];
        [self.queue.clone()].into_iter().chain(numbers.map(known)).collect()
    }
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let broker = session.connect().await?;
    let mut counts = Vec::new();
    let all = args.queues.is_empty();
    for queue in named_or_all(&*broker, args.queues).await? {
        match broker.stats(&queue).await {
            // Somebody has deleted it since.
            Err(error) if all && error.kind() == ErrorKind::NotFound => {}
            stats => counts.push(Counts::new(queue, stats?)),
        }
    }
    session.output.print(&counts, || {
        let header = ["queue", "ready", "unsettled", "delayed", "dead", "providers"];
        table(&header, counts.iter().map(Counts::row))
    })?;
    broker.close().await?;
    Ok(Exit::Done)
}
