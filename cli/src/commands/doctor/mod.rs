//! `swarrot doctor`.

mod patience;
mod queue;

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use serde_json::json;
use swarrot::topology::QueueKind;
use swarrot::{Broker, Capabilities, ServerInfo};

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::table;
use crate::parse;
use crate::session::Session;

/// Fewer file descriptors than this run out with a few hundred connections and children.
const FEW_DESCRIPTORS: u64 = 1024;
/// Signs of life of which the middle one counts.
const PINGS: usize = 5;

/// Says what a broker is and can do, and what should be mended
///
/// A line with ! is something to mend, and one with ? what cannot be found out from here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker, in place of --url
    broker: Option<String>,
    /// Looks at this queue too; may be repeated
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// How long the longest handler runs, to be held against the broker's patience
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    longest_handler: Option<Duration>,
    /// Fails if there is something to mend
    #[arg(long)]
    strict: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    broker: String,
    product: String,
    version: String,
    ping_milliseconds: f64,
    capabilities: Vec<serde_json::Value>,
    warnings: Vec<String>,
    /// What cannot be found out from here.
    notes: Vec<String>,
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let url = args.broker.as_deref();
    let broker = session.connect_to(url).await?;
    let info = broker.describe().await?;
    let mut warnings = info.warnings.clone();
    warnings.extend(about_this_process());
    let mut notes = Vec::new();
    if info.product == "RabbitMQ" {
        match args.longest_handler {
            Some(longest) => warnings.extend(patience::warning(longest, &info.version)),
            None => notes.extend(patience::note(&info.version)),
        }
        notes.push("RabbitMQ does not tell its time over AMQP: its clock and ours are not compared".to_owned());
    }
    for queue in &args.queues {
        warnings.extend(queue::warnings(&*broker, queue, &info).await?);
    }
    let findings = Findings {
        broker: session.broker_name(url),
        product: info.product.clone(),
        version: info.version.clone(),
        ping_milliseconds: ping(&*broker).await?.as_secs_f64() * 1000.0,
        capabilities: info.capabilities.iter().map(|(kind, can)| as_json(*kind, can)).collect(),
        warnings,
        notes,
    };
    session.output.print(&findings, || text(&findings, &info))?;
    broker.close().await?;
    Ok(if args.strict && !findings.warnings.is_empty() { Exit::Failure } else { Exit::Done })
}

/// The middle of some signs of life.
async fn ping(broker: &dyn Broker) -> Result<Duration> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let began = Instant::now();
        broker.ping().await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[PINGS / 2])
}

fn about_this_process() -> Option<String> {
    let few = getrlimit(Resource::Nofile).current.filter(|limit| *limit < FEW_DESCRIPTORS)?;
    Some(format!("this process may open {few} files at once; raise the limit (ulimit -n) to {FEW_DESCRIPTORS} or more"))
}

fn name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Quorum => "quorum",
        QueueKind::Classic => "classic",
    }
}

fn as_json(kind: QueueKind, can: &Capabilities) -> serde_json::Value {
    let rows: serde_json::Map<_, _> =
        can.rows().into_iter().map(|(what, value)| (what.to_owned(), value.into())).collect();
    json!({ "kind": name(kind), "can": rows })
}

fn text(findings: &Findings, info: &ServerInfo) -> String {
    let Findings { broker, product, version, ping_milliseconds, warnings, notes, .. } = findings;
    let mut text = format!("{product} {version} at {broker}, answers in {ping_milliseconds:.1} ms\n\n");
    let header: Vec<String> = info.capabilities.iter().map(|(kind, _)| format!("{} queue", name(*kind))).collect();
    let header: Vec<&str> = [""].into_iter().chain(header.iter().map(String::as_str)).collect();
    let columns: Vec<_> = info.capabilities.iter().map(|(_, can)| can.rows()).collect();
    let labels =
        columns.first().map(|rows| rows.iter().map(|(label, _)| *label).collect::<Vec<_>>()).unwrap_or_default();
    let rows = labels.iter().enumerate().map(|(index, label)| {
        [(*label).to_owned()].into_iter().chain(columns.iter().map(|rows| rows[index].1.clone())).collect()
    });
    text.push_str(&table(&header, rows));
    text.push_str("\n\n");
    if warnings.is_empty() {
        text.push_str("nothing to mend\n");
    }
    for warning in warnings {
        text.extend(["! ", warning, "\n"]);
    }
    for note in notes {
        text.extend(["? ", note, "\n"]);
    }
    text
}
