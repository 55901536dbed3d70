//! `swarrot topology export`.

use serde_json::{Value as Json, json};
use swarrot::amqp::AmqpBroker;
use swarrot::topology::{ExchangeKind, Topology};

use super::file::Source;
use super::text;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::to_json;
use crate::session::Session;

/// Prints the topology: as the definitions that RabbitMQ imports, for brokers where programs may not declare, or as a file
///
/// The definitions are for `rabbitmqctl import_definitions` or `load_definitions`. Nothing is connected.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// What to print; toml and yaml are the [topology] of a file
    #[arg(long, value_enum, default_value = "definitions")]
    format: Format,
    /// The virtual host
    #[arg(long, default_value = "/")]
    vhost: String,
    /// The version of the server, which decides on some arguments
    #[arg(long, default_value = "4.0.0", value_name = "VERSION")]
    rabbitmq: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Definitions,
    Toml,
    Yaml,
}

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit> {
    let loaded = args.source.load()?;
    let topology = loaded.topology();
    match args.format {
        Format::Definitions => definitions(args, &topology, session)?,
        Format::Toml => session.output.raw(text::toml(loaded.broker_name(), &topology).as_bytes())?,
        Format::Yaml => session.output.raw(text::yaml(loaded.broker_name(), &topology).as_bytes())?,
    }
    Ok(Exit::Done)
}

fn definitions(args: &Args, topology: &Topology, session: &Session) -> Result<()> {
    let vhost = &args.vhost;
    let mut exchanges = Vec::new();
    for exchange in &topology.exchanges {
        let kind = match exchange.kind {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Fanout => "fanout",
            other => return Err(Failure::new(format!("RabbitMQ has no exchange of the kind {other:?}"))),
        };
        exchanges.push(json!({
            "name": exchange.name, "vhost": vhost, "type": kind,
            "durable": true, "auto_delete": false, "internal": false, "arguments": {},
        }));
    }
    let queues = AmqpBroker::queues_on(topology, &args.rabbitmq)?.into_iter().map(|(name, arguments)| {
        let arguments: serde_json::Map<_, _> =
            arguments.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
        json!({ "name": name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": arguments })
    });
    let bindings = topology.bindings.iter().map(|binding| {
        json!({
            "source": binding.exchange, "vhost": vhost, "destination": binding.queue, "destination_type": "queue",
            "routing_key": binding.routing_key, "arguments": {},
        })
    });
    let definitions = json!({
        "exchanges": exchanges,
        "queues": queues.collect::<Json>(),
        "bindings": bindings.collect::<Json>(),
    });
    let pretty =
        serde_json::to_string_pretty(&definitions).map_err(|error| Failure::new(format!("no JSON: {error}")))?;
    session.output.print(&definitions, || pretty)
}
