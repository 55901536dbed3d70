//! A message's properties and headers, with how it was routed, as one field of a stream's entry.
//!
//! The format is `MessagePack`, a map from short names: other programs can read and write it. What is missing is empty.
//!
//! | name | what |
//! |---|---|
//! | `x`, `k` | exchange and routing key, where they are not the default exchange and the queue's name |
//! | `ct`, `ce` | content type and encoding |
//! | `id`, `ci`, `rt`, `ty` | message id, correlation id, reply-to, type |
//! | `ts`, `pr` | timestamp in seconds since the Unix epoch, priority |
//! | `ui`, `ai` | user id and application id |
//! | `h` | headers, a map |

use rmp::encode as mp;
use swarrot_core::{Headers, Message, Properties, Value};

use super::value;

/// What the metadata says.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) exchange: Option<String>,
    pub(super) routing_key: Option<String>,
    pub(super) properties: Properties,
    pub(super) headers: Headers,
}

/// Encodes all of a message but its body. `route`: exchange and routing key.
pub(crate) fn encode(message: &Message, route: Option<(&str, &str)>) -> Vec<u8> {
    let p = &message.properties;
    let texts = [
        ("ct", &p.content_type),
        ("ce", &p.content_encoding),
        ("id", &p.message_id),
        ("ci", &p.correlation_id),
        ("rt", &p.reply_to),
        ("ty", &p.message_type),
        ("ui", &p.user_id),
        ("ai", &p.app_id),
    ];
    let numbers =
        [("ts", p.timestamp.map(Value::Timestamp)), ("pr", p.priority.map(|priority| Value::Int(priority.into())))];
    let count = texts.iter().filter(|(_, text)| text.is_some()).count()
        + numbers.iter().filter(|(_, number)| number.is_some()).count()
        + if route.is_some() { 2 } else { 0 }
        + usize::from(!message.headers.is_empty());
    let mut out = mp::ByteBuf::with_capacity(64);
    value::map_len(&mut out, count);
    if let Some((exchange, routing_key)) = route {
        value::text(&mut out, "x");
        value::text(&mut out, exchange);
        value::text(&mut out, "k");
        value::text(&mut out, routing_key);
    }
    for (name, text) in texts {
        if let Some(text) = text {
            value::text(&mut out, name);
            value::text(&mut out, text);
        }
    }
    for (name, number) in numbers {
        if let Some(number) = number {
            value::text(&mut out, name);
            value::encode(&mut out, &number);
        }
    }
    if !message.headers.is_empty() {
        value::text(&mut out, "h");
        value::map_len(&mut out, message.headers.len());
        for (name, header) in message.headers.iter() {
            value::text(&mut out, name);
            value::encode(&mut out, header);
        }
    }
    out.into_vec()
}

/// Decodes metadata; `None` if it is none. Names that are not known are passed over.
pub(super) fn decode(bytes: &[u8]) -> Option<Meta> {
    let mut meta = Meta::default();
    value::decode_map(bytes, |name, value| {
        let p = &mut meta.properties;
        let text = match name {
            "x" => &mut meta.exchange,
            "k" => &mut meta.routing_key,
            "ct" => &mut p.content_type,
            "ce" => &mut p.content_encoding,
            "id" => &mut p.message_id,
            "ci" => &mut p.correlation_id,
            "rt" => &mut p.reply_to,
            "ty" => &mut p.message_type,
            "ui" => &mut p.user_id,
            "ai" => &mut p.app_id,
            "ts" => {
                p.timestamp = match value {
                    Value::Timestamp(seconds) => Some(seconds),
                    Value::Int(seconds) => u64::try_from(seconds).ok(),
                    _ => return None,
                };
                return Some(());
            }
            "pr" => {
                p.priority = value.as_int().and_then(|priority| u8::try_from(priority).ok());
                return Some(());
            }
            "h" => {
                let Value::Map(headers) = value else { return None };
                meta.headers = headers.into_iter().collect();
                return Some(());
            }
            _ => return Some(()),
        };
        let Value::String(value) = value else { return None };
        *text = Some(value);
        Some(())
    })?;
    Some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_message_survives() {
        let mut message = Message::new("")
            .id("the id")
            .message_type("type")
            .content_type("text/plain")
            .correlation_id("c")
            .reply_to("r")
            .priority(7)
            .header("null", Value::Null)
            .header("int", i64::MIN)
            .header("", "no name");
        message.properties.content_encoding = Some("gzip".into());
        message.properties.timestamp = Some(u64::MAX);
        message.properties.user_id = Some("u".into());
        message.properties.app_id = Some("a".into());
        let meta = decode(&encode(&message, Some(("ex", "key")))).expect("it decodes");
        assert_eq!((meta.properties, meta.headers), (message.properties, message.headers));
        assert_eq!((meta.exchange.as_deref(), meta.routing_key.as_deref()), (Some("ex"), Some("key")));
        let none = decode(&encode(&Message::new("body"), None)).expect("it decodes");
        assert_eq!((none.properties, none.headers, none.exchange), (Properties::default(), Headers::new(), None));
    }

    #[test]
    fn what_is_no_metadata_is_none() {
        for bytes in [&b""[..], b"hello", b"\x81\xa2id\x05", b"\x81\xa2id", b"\xc1", b"\x80\x80", b"\x81\xa1h\xc0"] {
            assert!(decode(bytes).is_none(), "{bytes:?}");
        }
    }
}
