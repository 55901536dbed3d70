//! `swarrot doctor`.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use serde_json::json;
use swarrot::topology::QueueKind;
use swarrot::{Broker, Capabilities, ServerInfo};

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::{count, table};
use crate::parse;
use crate::session::Session;

/// Fewer file descriptors than this run out with a few hundred connections and children.
const FEW_DESCRIPTORS: u64 = 1024;
/// How long RabbitMQ waits for a settlement, unless it is configured (`consumer_timeout`).
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Signs of life of which the middle one counts.
const PINGS: usize = 5;

/// Says what a broker is and can do, and what should be mended
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
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let url = args.broker.as_deref();
    let broker = session.connect_to(url).await?;
    let info = broker.describe().await?;
    let mut warnings = info.warnings.clone();
    warnings.extend(about_this_process());
    warnings.extend(about_patience(&args, &info));
    for queue in &args.queues {
        warnings.extend(about_queue(&*broker, queue).await?);
    }
    let findings = Findings {
        broker: session.broker_name(url),
        product: info.product.clone(),
        version: info.version.clone(),
        ping_milliseconds: ping(&*broker).await?.as_secs_f64() * 1000.0,
        capabilities: info.capabilities.iter().map(|(kind, can)| as_json(*kind, can)).collect(),
        warnings,
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

fn about_patience(args: &Args, info: &ServerInfo) -> Option<String> {
    let longest = args.longest_handler?;
    let limit = humantime::format_duration(CONSUMER_TIMEOUT);
    (info.product == "RabbitMQ" && longest >= CONSUMER_TIMEOUT).then(|| {
        format!(
            "RabbitMQ takes a message back that is not settled for {limit}, unless configured; raise its consumer_timeout \
             above the longest handler"
        )
    })
}

async fn about_queue(broker: &dyn Broker, queue: &str) -> Result<Vec<String>> {
    let stats = broker.stats(queue).await?;
    let mut warnings = Vec::new();
    match stats.parked {
        None => warnings.push(format!(
            "{queue} has no dead-letter queue: what is given up on there cannot be parked; declare it with one"
        )),
        Some(0) => {}
        Some(parked) => {
            warnings.push(format!("{queue} has {}; see `swarrot dead list {queue}`", count(parked, "dead letter")));
        }
    }
    if stats.ready > 0 && stats.providers == Some(0) {
        warnings.push(format!("{queue} has {} and no worker; start one", count(stats.ready, "message")));
    }
    Ok(warnings)
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
    let Findings { broker, product, version, ping_milliseconds, warnings, .. } = findings;
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
        text.push_str("nothing to mend");
    }
    for warning in warnings {
        text.extend(["! ", warning, "\n"]);
    }
    text
}
