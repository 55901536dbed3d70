//! A topology as a file has it, in TOML or YAML. What is as usual is left out.

use std::fmt::Write as _;

use serde_json::Value as Json;
use swarrot::DeadLetter;
use swarrot::topology::{ExchangeKind, Queue, QueueKind, Topology};

use crate::message::to_json;

/// As TOML.
pub(super) fn toml(broker: &str, topology: &Topology) -> String {
    let mut text = String::new();
    let path = format!("topology.{}", quoted(broker));
    // Writing into a string does not fail.
    if !topology.exchanges.is_empty() {
        let _ = writeln!(text, "[{path}.exchanges]");
        for exchange in &topology.exchanges {
            let _ = writeln!(text, "{} = {}", quoted(&exchange.name), quoted(kind_of(exchange.kind)));
        }
        text.push('\n');
    }
    for queue in &topology.queues {
        let _ = writeln!(text, "[{path}.queues.{}]", quoted(&queue.name));
        for (key, value) in keys(queue) {
            let _ = writeln!(text, "{key} = {}", inline(&value, " = "));
        }
        text.push('\n');
    }
    for binding in &topology.bindings {
        let _ = writeln!(text, "[[{path}.bindings]]\nexchange = {}", quoted(&binding.exchange));
        let _ = writeln!(text, "queue = {}\nrouting_key = {}\n", quoted(&binding.queue), quoted(&binding.routing_key));
    }
    text
}

/// As YAML.
pub(super) fn yaml(broker: &str, topology: &Topology) -> String {
    let mut text = format!("topology:\n  {}:\n", quoted(broker));
    if !topology.exchanges.is_empty() {
        text.push_str("    exchanges:\n");
    }
    for exchange in &topology.exchanges {
        let _ = writeln!(text, "      {}: {}", quoted(&exchange.name), kind_of(exchange.kind));
    }
    if !topology.queues.is_empty() {
        text.push_str("    queues:\n");
    }
    for queue in &topology.queues {
        let _ = writeln!(text, "      {}:", quoted(&queue.name));
        for (key, value) in keys(queue) {
            let _ = writeln!(text, "        {key}: {}", inline(&value, ": "));
        }
    }
    if !topology.bindings.is_empty() {
        text.push_str("    bindings:\n");
    }
    for binding in &topology.bindings {
        let _ = writeln!(text, "      - exchange: {}", quoted(&binding.exchange));
        let _ = writeln!(text, "        queue: {}", quoted(&binding.queue));
        let _ = writeln!(text, "        routing_key: {}", quoted(&binding.routing_key));
    }
    text
}

fn kind_of(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        _ => "direct",
    }
}

/// What a file says of a queue that is not as usual.
fn keys(queue: &Queue) -> Vec<(&'static str, Json)> {
    let mut keys: Vec<(&'static str, Json)> = Vec::new();
    if queue.kind == QueueKind::Classic {
        keys.push(("kind", "classic".into()));
    }
    if queue.dead_letter == DeadLetter::Drop {
        keys.push(("dead_letter", "drop".into()));
    }
    keys.extend(queue.max_priority.map(|max| ("max_priority", max.into())));
    keys.extend(queue.message_ttl.map(|ttl| ("message_ttl", humantime::format_duration(ttl).to_string().into())));
    keys.extend(queue.max_length.map(|messages| ("max_length", messages.into())));
    if queue.delivery_limit != Some(Queue::DELIVERY_LIMIT) {
        keys.push(("delivery_limit", queue.delivery_limit.map_or(Json::Bool(false), Json::from)));
    }
    if !queue.arguments.is_empty() {
        let arguments = queue.arguments.iter().map(|(name, value)| (name.clone(), to_json(value)));
        keys.push(("arguments", Json::Object(arguments.collect())));
    }
    keys
}

/// A value in one line, with this between a key and its value.
fn inline(value: &Json, is: &str) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(item, is)).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}{is}{}", quoted(key), inline(value, is))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text in quotes, as TOML, YAML and JSON all have it; a dollar is one.
fn quoted(text: &str) -> String {
    Json::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use swarrot::Value;
    use swarrot::config::Loader;
    use swarrot::topology::Exchange;

    use super::*;

    #[test]
    fn both_are_read_as_the_same() {
        let queue = Queue::new("slow")
            .classic()
            .dead_letter(DeadLetter::Drop)
            .max_priority(5)
            .message_ttl(Duration::from_millis(90_500))
            .max_length(7)
            .delivery_limit(None)
            .argument("x-text", "5 $ \"a\" \\ é\n")
            .argument("x-list", Value::List(vec![Value::Int(1), Value::Bool(true), Value::from("yes")]));
        let topology = Topology::new()
            .exchange(Exchange::topic("events"))
            .exchange(Exchange::direct("1.5"))
            .queue(Queue::new("mails"))
            .queue(queue)
            .bind("events", "mails", "user.*.mail")
            .bind("events", "slow", "#");
        for topology in [topology, Topology::new(), Topology::new().queue(Queue::new("true"))] {
            let brokers = "brokers.\"m.1\" = \"memory://\"\n";
            let text = toml("m.1", &topology);
            let read =
                Loader::new().parse(format!("{brokers}{text}")).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read.topology("m.1"), Some(&topology), "{text}");
            let text = yaml("m.1", &topology);
            let read = Loader::new().parse_yaml(format!("brokers: {{ m.1: 'memory://' }}\n{text}"));
            let read = read.unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read.topology("m.1"), Some(&topology), "{text}");
        }
    }
}
