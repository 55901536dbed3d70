//! Entries of a queue's stream.
//!
//! | field | what |
//! |---|---|
//! | `body` | the message's body |
//! | `swarrot` | all else of the message, as [`meta`](super::meta) says |
//! | `swarrot_count` | deliveries of this message under earlier ids, where there were any |
//!
//! An entry without the field `swarrot` was written by another program. Its body is the field `body`, or else its only field;
//! its other fields are headers.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg, Value as Reply};
use swarrot_core::{Delivery, Headers, Message, Receipt, Value};

use super::meta;
use crate::config::SYSTEM;

/// The id of a stream's entry: milliseconds, and a number within the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    ms: u64,
    number: u64,
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        let (ms, number) = id.split_once('-').ok_or(())?;
        Ok(Self { ms: ms.parse().map_err(drop)?, number: number.parse().map_err(drop)? })
    }
}

impl ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let (mut ms, mut number) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, number) = (ms.format(self.ms).as_bytes(), number.format(self.number).as_bytes());
        // Twenty digits at most each.
        let mut text = [b'-'; 41];
        text[..ms.len()].copy_from_slice(ms);
        let end = ms.len() + 1 + number.len();
        text[ms.len() + 1..end].copy_from_slice(number);
        out.write_arg(&text[..end]);
    }
}

impl ToSingleRedisArg for EntryId {}

/// An entry that was read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// How often it was delivered under this id, this time included, as the server counts.
    pub(crate) count: u32,
    /// How often it was delivered under earlier ids.
    pub(crate) earlier: u32,
    pub(crate) message: Message,
    exchange: Option<String>,
    routing_key: Option<String>,
}

impl Entry {
    /// An entry's content. `count`: deliveries under this id.
    pub(crate) fn new(id: EntryId, count: u32, mut fields: Vec<(Bytes, Bytes)>) -> Self {
        let place = |name: &[u8]| fields.iter().position(|(field, _)| field == name);
        let find = |name: &[u8]| place(name).map(|at| &fields[at].1);
        let earlier =
            find(b"swarrot_count").and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0);
        match find(b"swarrot").and_then(|bytes| meta::decode(bytes)) {
            Some(meta) => {
                let body = place(b"body").map(|at| fields.swap_remove(at).1);
                let mut message = Message::new(body.unwrap_or_default());
                (message.properties, message.headers) = (meta.properties, meta.headers);
                Self { id, count, earlier, message, exchange: meta.exchange, routing_key: meta.routing_key }
            }
            None => Self { id, count, earlier, message: foreign(fields), exchange: None, routing_key: None },
        }
    }

    /// Deliveries of the message so far, this one included.
    pub(crate) fn deliveries(&self) -> u32 {
        self.earlier.saturating_add(self.count)
    }

    /// As a handler gets it. `again`: it was given back or lost by somebody.
    pub(crate) fn into_delivery(self, queue: &Arc<str>, receipt: Receipt, again: bool) -> Delivery {
        let deliveries = self.deliveries();
        let delivery = Delivery::new(Arc::clone(queue), receipt, self.message)
            .with_system(SYSTEM)
            .delivered(again || deliveries > 1, Some(deliveries));
        // A retried copy says in its headers where the message came from first.
        let exchange: Arc<str> = self.exchange.map_or_else(|| "".into(), Arc::from);
        let routing_key: Arc<str> = self.routing_key.map_or_else(|| Arc::clone(queue), Arc::from);
        delivery.routed(exchange, routing_key)
    }
}

fn foreign(mut fields: Vec<(Bytes, Bytes)>) -> Message {
    fields.retain(|(field, _)| field != "swarrot_count");
    let body = match fields.iter().position(|(field, _)| field == "body") {
        Some(at) => fields.remove(at).1,
        None if fields.len() == 1 => fields.remove(0).1,
        None => Bytes::new(),
    };
    let mut message = Message::new(body);
    message.headers = fields
        .into_iter()
        .map(|(name, value)| {
            let value = match String::from_utf8(value.to_vec()) {
                Ok(text) => Value::String(text),
                Err(_) => Value::Bytes(value),
            };
            (String::from_utf8_lossy(&name).into_owned(), value)
        })
        .collect::<Headers>();
    message
}

/// Entries as scripts answer them: id, count of deliveries, fields.
pub(crate) fn parse_entries(reply: Reply) -> Option<Vec<Entry>> {
    let Reply::Array(entries) = reply else { return matches!(reply, Reply::Nil).then(Vec::new) };
    entries.into_iter().map(parse_entry).collect()
}

fn parse_entry(reply: Reply) -> Option<Entry> {
    let Reply::Array(parts) = reply else { return None };
    let [id, Reply::Int(count), fields] = <[_; 3]>::try_from(parts).ok()? else { return None };
    Some(Entry::new(text(&id)?.parse().ok()?, u32::try_from(count).unwrap_or(u32::MAX), fields_of(fields)?))
}

/// An entry's fields, as the server answers them: names and values in turn.
pub(crate) fn fields_of(reply: Reply) -> Option<Vec<(Bytes, Bytes)>> {
    let Reply::Array(parts) = reply else { return None };
    let mut parts = parts.into_iter();
    let mut fields = Vec::with_capacity(parts.len() / 2);
    while let (Some(name), value) = (parts.next(), parts.next()) {
        fields.push((bytes(name)?, bytes(value?)?));
    }
    Some(fields)
}

fn bytes(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::BulkString(bytes) => Some(bytes.into()),
        Reply::SimpleString(text) => Some(text.into()),
        Reply::Int(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// A reply that is text.
pub(crate) fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Reply::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&'static str, &'static [u8])]) -> Entry {
        let fields = fields.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from_static(value))).collect();
        Entry::new("5-1".parse().expect("an id"), 1, fields)
    }

    #[test]
    fn what_others_wrote_is_a_message_too() {
        assert_eq!(entry(&[("anything", b"hello")]).message.body, "hello");
        let several = entry(&[("type", b"mail"), ("body", b"hello"), ("raw", b"\xff")]).message;
        assert_eq!(several.body, "hello");
        assert_eq!(several.headers.get("type"), Some(&"mail".into()));
        assert_eq!(several.headers.get("raw"), Some(&Value::Bytes(Bytes::from_static(b"\xff"))));
        let none = entry(&[("a", b"1"), ("b", b"2")]).message;
        assert_eq!((none.body.len(), none.headers.len()), (0, 2));
        // What claims to be ours and is not keeps all it has.
        let broken = entry(&[("swarrot", b"\xc1"), ("body", b"hello")]).message;
        assert_eq!((broken.body.as_ref(), broken.headers.len()), (&b"hello"[..], 1));
    }

    #[test]
    fn an_id_is_sent_as_it_came() {
        for id in ["0-0", "1700000000000-12", "18446744073709551615-18446744073709551615"] {
            let parsed: EntryId = id.parse().expect("an id");
            assert_eq!(parsed.to_redis_args(), [id.as_bytes()]);
        }
    }

    #[test]
    fn deliveries_under_earlier_ids_count() {
        let again = entry(&[("swarrot_count", b"4"), ("body", b"hello")]);
        assert_eq!((again.deliveries(), again.message.headers.len()), (5, 0));
        let delivery = again.into_delivery(&"q".into(), Receipt::new(1, 1), false);
        assert_eq!((delivery.redelivered(), delivery.delivery_count()), (true, Some(5)));
        assert_eq!((delivery.exchange(), delivery.routing_key()), ("", "q"));
    }
}
