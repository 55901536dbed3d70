//! What `swarrot publish` is told.

use std::num::NonZeroU64;
use std::time::Duration;

use swarrot::{Message, Outgoing, Value};

use crate::failure::{Failure, Result};
use crate::message::from_json;
use crate::parse;

/// Publishes messages, and waits until the broker has confirmed each
///
/// Without a body, each line of stdin is a message; with --ndjson each line is a JSON object with the keys body, body_base64
/// or json, and key, type, id, headers, priority, delay, content_type, correlation_id, reply_to, timestamp, ttl_ms, as `peek
/// --json` prints them.
#[derive(Debug, clap::Args)]
#[command(override_usage = "swarrot publish [OPTIONS] QUEUE [BODY]\n       \
                            swarrot publish [OPTIONS] --exchange EXCHANGE --key KEY [BODY]")]
pub(crate) struct Args {
    /// The queue, unless --exchange says where to; then the body. A body of - is all of stdin
    #[arg(value_name = "QUEUE")]
    first: Option<String>,
    /// The body
    #[arg(value_name = "BODY", allow_hyphen_values = true)]
    second: Option<String>,
    /// Publishes to this exchange
    #[arg(long)]
    pub(crate) exchange: Option<String>,
    /// The routing key, for an exchange
    #[arg(long, requires = "exchange")]
    key: Option<String>,
    /// Reads a JSON object from each line of stdin
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// A header: name=text, or name:=JSON for a number, true, a list …; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, Value)>,
    /// The kind of message
    #[arg(long = "type", value_name = "NAME")]
    message_type: Option<String>,
    /// The body's MIME type
    #[arg(long, value_name = "MIME")]
    content_type: Option<String>,
    /// The message's id, in place of a new one
    #[arg(long)]
    id: Option<String>,
    /// Links a reply to its request
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// The queue where a reply is awaited
    #[arg(long, value_name = "QUEUE")]
    reply_to: Option<String>,
    /// Higher is served first, where the queue has priorities
    #[arg(long)]
    priority: Option<u8>,
    /// Expires after this time in a queue
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    ttl: Option<Duration>,
    /// Is held back for this long, such as 90s
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) delay: Option<Duration>,
    /// Publishes the body so many times
    #[arg(long, default_value = "1", conflicts_with_all = ["id", "ndjson"])]
    pub(crate) repeat: NonZeroU64,
    /// At most so many messages a second
    #[arg(long, value_parser = parse::rate)]
    pub(crate) rate: Option<f64>,
    /// Goes on when a message is refused, and tells of all that were
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Waits so long for the confirmation of a message, reconnects included
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,
}

/// What all messages have in common, and what the arguments say about their bodies.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) key: String,
    pub(crate) message: Message,
    pub(crate) delay: Option<Duration>,
    /// `None`: from the lines of stdin. `-` is all of stdin.
    pub(crate) body: Option<String>,
}

impl Args {
    /// # Errors
    /// If it does not say where to.
    pub(crate) fn template(&self) -> Result<Template> {
        let (key, body) = match (&self.exchange, &self.first, &self.second) {
            (None, Some(queue), body) => (queue, body),
            (None, None, _) => return Err(Failure::usage("no queue named; name one, or an exchange with --exchange")),
            (Some(_), body, None) => (self.key.as_ref().unwrap_or(const { &String::new() }), body),
            (Some(_), _, Some(_)) => {
                return Err(Failure::usage("with --exchange only the body follows; give the routing key by --key"));
            }
        };
        if self.ndjson && body.is_some() {
            return Err(Failure::usage("--ndjson reads bodies from stdin; leave the body out"));
        }
        let mut message = Message::new("");
        let p = &mut message.properties;
        p.message_type.clone_from(&self.message_type);
        p.content_type.clone_from(&self.content_type);
        p.message_id.clone_from(&self.id);
        p.correlation_id.clone_from(&self.correlation_id);
        p.reply_to.clone_from(&self.reply_to);
        p.priority = self.priority;
        p.ttl = self.ttl;
        for (name, value) in &self.headers {
            message.headers.insert(name, value.clone());
        }
        Ok(Template { key: key.clone(), message, delay: self.delay, body: body.clone() })
    }

    /// Whether it is about one message, so that no line is worth mentioning.
    pub(crate) fn is_single(&self) -> bool {
        let body = if self.exchange.is_some() { &self.first } else { &self.second };
        body.is_some() && self.repeat.get() == 1
    }
}

impl Template {
    /// A message with this body.
    pub(crate) fn with_body(&self, body: impl Into<bytes::Bytes>) -> Outgoing {
        let mut message = self.message.clone();
        message.body = body.into();
        self.outgoing(&self.key, message)
    }

    pub(crate) fn outgoing(&self, key: &str, message: Message) -> Outgoing {
        let outgoing = Outgoing::new(key, message);
        match self.delay {
            Some(delay) => outgoing.delay(delay),
            None => outgoing,
        }
    }
}

fn header(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a header is name=text or name:=JSON")?;
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::from(value)),
        Some(name) => {
            let json = serde_json::from_str(value).map_err(|error| format!("no JSON after :=, {error}"))?;
            (name, from_json(json)?)
        }
    };
    if name.is_empty() { Err("a header needs a name".to_owned()) } else { Ok((name.to_owned(), value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_types() {
        assert_eq!(header("a=1=2"), Ok(("a".to_owned(), Value::from("1=2"))));
        assert_eq!(header("a:=12"), Ok(("a".to_owned(), Value::Int(12))));
        assert_eq!(header("a="), Ok(("a".to_owned(), Value::from(""))));
        for bad in ["a", "=x", ":=1", "a:=x"] {
            header(bad).expect_err(bad);
        }
    }
}
