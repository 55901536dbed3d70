//! A message as a JSON object: what `publish --ndjson` and `dead import` read and all others write.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use swarrot::message::FailedAttempt;
use swarrot::{Delivery, Message};

use super::{from_json, to_json};
use crate::output::time;

/// A message as a JSON object. What it writes it reads again without loss.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Where it is; only written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<String>,
    /// Where it was published first; only written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exchange: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) message_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    /// Seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    /// Such as `90s`; only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<String>,
    /// Which attempt it is; only written.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// What the headers say about failures; only written.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Json>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Json>,
    /// The body, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// The body as any JSON; only read.
    #[serde(skip_serializing)]
    json: Option<Json>,
}

impl Document {
    /// A message in a queue.
    pub(crate) fn of_message(queue: &str, message: &Message) -> Self {
        let p = &message.properties;
        let (body, body_base64) = match std::str::from_utf8(&message.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&message.body))),
        };
        Self {
            id: p.message_id.clone(),
            queue: Some(queue.to_owned()),
            exchange: None,
            key: None,
            message_type: p.message_type.clone(),
            content_type: p.content_type.clone(),
            content_encoding: p.content_encoding.clone(),
            correlation_id: p.correlation_id.clone(),
            reply_to: p.reply_to.clone(),
            timestamp: p.timestamp,
            ttl_ms: p.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            priority: p.priority,
            app_id: p.app_id.clone(),
            delay: None,
            attempt: Some(message.retry_attempts() + 1),
            failure: message.failure().map(|failure| {
                json!({
                    "source": failure.source_queue,
                    "attempts": failure.attempts,
                    "first": failure.first_at.map(time),
                    "last": failure.last_at.map(time),
                    "reason": failure.reason,
                    "history": failure.history.iter().map(past).collect::<Json>(),
                })
            }),
            headers: message.headers.iter().map(|(name, value)| (name.to_owned(), to_json(value))).collect(),
            body,
            body_base64,
            json: None,
        }
    }

    /// A delivery, which knows how it was routed.
    pub(crate) fn of_delivery(delivery: &Delivery) -> Self {
        Self {
            exchange: Some(delivery.exchange().to_owned()),
            key: Some(delivery.routing_key().to_owned()),
            ..Self::of_message(delivery.queue(), delivery.message())
        }
    }

    /// The message that it describes.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub(crate) fn into_message(self) -> Result<Message, String> {
        let mut message = match (self.body, self.body_base64, self.json) {
            (Some(text), None, None) => Message::new(text),
            (None, Some(encoded), None) => {
                Message::new(STANDARD.decode(encoded).map_err(|_| "body_base64 is not base64".to_owned())?)
            }
            (None, None, Some(json)) => Message::json(&json).map_err(|error| error.to_string())?,
            (None, None, None) => return Err("no body; give one of body, body_base64 and json".to_owned()),
            _ => return Err("more than one body; give one of body, body_base64 and json".to_owned()),
        };
        let p = &mut message.properties;
        p.message_id = self.id;
        p.message_type = self.message_type;
        p.content_type = self.content_type.or(p.content_type.take());
        p.content_encoding = self.content_encoding;
        p.correlation_id = self.correlation_id;
        p.reply_to = self.reply_to;
        p.timestamp = self.timestamp;
        p.ttl = self.ttl_ms.map(Duration::from_millis);
        p.priority = self.priority;
        p.app_id = self.app_id;
        for (name, value) in self.headers {
            let value = from_json(value).map_err(|error| format!("header {name:?}: {error}"))?;
            message.headers.insert(name, value);
        }
        Ok(message)
    }
}

/// A failure of the past.
fn past(failed: &FailedAttempt) -> Json {
    json!({ "attempt": failed.attempt, "at": time(failed.at), "reason": failed.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives() {
        let mut message = Message::new(vec![1_u8, 255]).id("i").message_type("t").priority(3).header("n", 1_i64);
        message.properties.ttl = Some(Duration::from_millis(1500));
        message.properties.timestamp = Some(9);
        for body in [&b"text\n"[..], &[1, 255], b""] {
            message.body = body.to_vec().into();
            let line = serde_json::to_string(&Document::of_message("q", &message)).expect("JSON");
            let back: Document = serde_json::from_str(&line).expect("a document");
            assert_eq!(back.into_message(), Ok(message.clone()), "{line}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let read = |line: &str| {
            let document: Document = serde_json::from_str(line).map_err(|error| error.to_string())?;
            document.into_message()
        };
        assert!(read(r#"{"bdy": "x"}"#).is_err_and(|e| e.contains("bdy")));
        assert!(read("{}").is_err_and(|e| e.contains("no body")));
        assert!(read(r#"{"body": "", "json": 1}"#).is_err_and(|e| e.contains("more than one")));
        assert!(read(r#"{"body": "", "headers": {"h": {"$x": 1}}}"#).is_err_and(|e| e.contains("\"h\"")));
        let json = read(r#"{"json": {"a": [1]}}"#).expect("a message");
        assert_eq!(json.body, r#"{"a":[1]}"#);
        assert_eq!(json.properties.content_type.as_deref(), Some("application/json"));
    }
}
