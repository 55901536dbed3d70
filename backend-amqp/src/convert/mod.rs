//! Messages: AMQP's basic properties and ours.

mod deaths;
mod value;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use swarrot_core::{Error, ErrorKind, Headers, Message, Result};

pub(crate) use self::value::{from_amqp, short, to_table};

/// Ties a returned message to its publish where its message id does not; taken off before a message is handed out.
pub(crate) const PUBLISH_ID: &str = "swarrot_publish_id";
/// How often a quorum queue has delivered a message before. It goes into the delivery's count.
const DELIVERY_COUNT: &str = "x-delivery-count";
const ACQUIRED_COUNT: &str = "x-acquired-count";

/// Class, weight, body size and flags of a content header, and the frame around it.
const HEADER_FRAME: usize = 14 + 8;
/// What the server adds to a message's headers later: how often it was delivered, and where it left a queue.
const GROWTH: usize = 1024;
const PERSISTENT: u8 = 2;

/// A message's properties and headers as they are sent, without the publish id.
pub(crate) fn to_properties(message: &Message, frame_max: usize) -> Result<BasicProperties> {
    let ours = &message.properties;
    // A message that was taken by other means than ours may still have that of an earlier publish.
    let headers = to_table(message.headers.iter().filter(|(name, _)| *name != PUBLISH_ID))?;
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut size = HEADER_FRAME + 1 + value::encoded_size(&headers);
    // The entry of the publish id, which may come to it: name, type and value.
    size += 1 + PUBLISH_ID.len() + 1 + 8;
    let mut text = |text: &Option<String>, what: &str| match text {
        None => Ok(None),
        Some(text) => {
            let text = short(text, what)?;
            size += 1 + text.as_str().len();
            Ok::<_, Error>(Some(text))
        }
    };
    if let Some(text) = text(&ours.content_type, "the content type")? {
        properties = properties.with_content_type(text);
    }
    if let Some(text) = text(&ours.content_encoding, "the content encoding")? {
        properties = properties.with_content_encoding(text);
    }
    if let Some(text) = text(&ours.message_id, "the message id")? {
        properties = properties.with_message_id(text);
    }
    if let Some(text) = text(&ours.correlation_id, "the correlation id")? {
        properties = properties.with_correlation_id(text);
    }
    if let Some(text) = text(&ours.reply_to, "the reply-to")? {
        properties = properties.with_reply_to(text);
    }
    if let Some(text) = text(&ours.message_type, "the message type")? {
        properties = properties.with_type(text);
    }
    if let Some(text) = text(&ours.user_id, "the user id")? {
        properties = properties.with_user_id(text);
    }
    if let Some(text) = text(&ours.app_id, "the application id")? {
        properties = properties.with_app_id(text);
    }
    if let Some(ttl) = ours.ttl {
        let milliseconds = milliseconds(ttl)?.to_string();
        size += 1 + milliseconds.len();
        properties = properties.with_expiration(milliseconds.into());
    }
    if let Some(seconds) = ours.timestamp {
        size += 8;
        properties = properties.with_timestamp(seconds);
    }
    if let Some(priority) = ours.priority {
        size += 1;
        properties = properties.with_priority(priority);
    }
    // A content header cannot be split, and a larger frame ends the connection.
    let limit = frame_max.saturating_sub(GROWTH);
    if size > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("properties and headers take {size} bytes, a frame holds {limit}; put them into the body"),
        ));
    }
    Ok(if headers.inner().is_empty() { properties } else { properties.with_headers(headers) })
}

/// Milliseconds as RabbitMQ takes them for a time to live; what is shorter than one is rounded up.
pub(crate) fn milliseconds(time: Duration) -> Result<u32> {
    u32::try_from(time.as_nanos().div_ceil(1_000_000))
        .map_err(|_| Error::new(ErrorKind::Unsupported, "RabbitMQ keeps times up to 49 days (2^32 - 1 ms)"))
}

/// A message delivered from this queue, and how often the broker says it delivered it before.
pub(crate) fn from_delivery(queue: &str, properties: &BasicProperties, body: Vec<u8>) -> (Message, Option<u32>) {
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let mut message = Message::new(Bytes::from(body));
    let ours = &mut message.properties;
    ours.content_type = text(properties.content_type());
    ours.content_encoding = text(properties.content_encoding());
    ours.message_id = text(properties.message_id());
    ours.correlation_id = text(properties.correlation_id());
    ours.reply_to = text(properties.reply_to());
    ours.message_type = text(properties.kind());
    ours.user_id = text(properties.user_id());
    ours.app_id = text(properties.app_id());
    ours.timestamp = *properties.timestamp();
    ours.priority = *properties.priority();
    ours.ttl = properties.expiration().as_ref().and_then(|ms| ms.as_str().parse().ok()).map(Duration::from_millis);
    let mut count = None;
    if let Some(table) = properties.headers()
        && fill(&mut message.headers, table, &mut count)
    {
        deaths::translate(&mut message, queue);
    }
    (message, count)
}

/// Takes a table's headers, and tells whether the broker says there that the message left a queue as a dead letter.
fn fill(headers: &mut Headers, table: &FieldTable, count: &mut Option<u32>) -> bool {
    let mut died = false;
    *headers = table
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.as_str();
            match name {
                PUBLISH_ID | ACQUIRED_COUNT => return None,
                DELIVERY_COUNT => {
                    *count = from_amqp(value).as_int().and_then(|n| u32::try_from(n).ok());
                    return None;
                }
                deaths::DEATHS => died = true,
                _ => {}
            }
            Some((name, from_amqp(value)))
        })
        .collect();
    died
}

/// The publish id of a returned message, if it has one.
pub(crate) fn publish_id(properties: &BasicProperties) -> Option<u64> {
    match properties.headers().as_ref()?.inner().get(PUBLISH_ID)? {
        AMQPValue::LongLongInt(id) => u64::try_from(*id).ok(),
        _ => None,
    }
}

/// Texts that repeat from delivery to delivery, kept once.
#[derive(Debug, Default)]
pub(crate) struct Interned(Option<Arc<str>>);

impl Interned {
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *text => Arc::clone(last),
            _ => Arc::clone(self.0.insert(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Message {
        let mut message = Message::new("body")
            .id("id")
            .content_type("text/plain")
            .message_type("greeting")
            .correlation_id("c")
            .reply_to("r")
            .priority(3)
            .ttl(Duration::from_millis(1500))
            .header("h", 1_i64);
        message.properties.content_encoding = Some("gzip".to_owned());
        message.properties.timestamp = Some(1_700_000_000);
        message.properties.user_id = Some("guest".to_owned());
        message.properties.app_id = Some("app".to_owned());
        message
    }

    fn with_publish_id(properties: &BasicProperties) -> BasicProperties {
        let mut headers = properties.headers().clone().expect("it has headers");
        headers.insert(PUBLISH_ID.into(), AMQPValue::LongLongInt(5));
        properties.clone().with_headers(headers)
    }

    #[test]
    fn all_properties_come_back() {
        let properties = with_publish_id(&to_properties(&full(), 131_072).expect("it fits"));
        assert_eq!(publish_id(&properties), Some(5));
        assert_eq!(from_delivery("q", &properties, b"body".to_vec()), (full(), None));
    }

    #[test]
    fn the_content_header_must_fit_a_frame() {
        // The size that is checked is the size that lapin writes.
        let message = full().header("large", "x".repeat(4000));
        let properties = with_publish_id(&to_properties(&message, 131_072).expect("it fits"));
        let written = lapin::protocol::basic::gen_properties(&properties)(Vec::new().into()).expect("written");
        // Class, weight and body size before the properties; type, channel, size and end mark around.
        let exact = written.write.len() + 12 + 8 + GROWTH;
        to_properties(&message, exact).expect("it fits exactly");
        assert_eq!(to_properties(&message, exact - 1).map_err(|e| e.kind()).unwrap_err(), ErrorKind::TooLarge);
        let long = Message::new("").id("x".repeat(256));
        assert_eq!(to_properties(&long, 131_072).map_err(|e| e.kind()).unwrap_err(), ErrorKind::TooLarge);
    }

    #[test]
    fn an_earlier_publish_id_is_left_out() {
        let mut message = Message::new("").id("id");
        message.headers.insert(PUBLISH_ID, 77_i64);
        assert_eq!(publish_id(&to_properties(&message, 131_072).expect("it fits")), None);
    }

    #[test]
    fn the_brokers_count_is_taken_out() {
        let mut table = FieldTable::default();
        table.insert(DELIVERY_COUNT.into(), AMQPValue::LongLongInt(2));
        let properties = BasicProperties::default().with_headers(table);
        assert_eq!(from_delivery("q", &properties, vec![]), (Message::new(""), Some(2)));
    }

    #[test]
    fn times_to_live_are_whole_milliseconds() {
        assert_eq!(milliseconds(Duration::from_micros(1)).map_err(|e| e.kind()), Ok(1));
        assert_eq!(milliseconds(Duration::from_secs(60)).map_err(|e| e.kind()), Ok(60_000));
        assert_eq!(milliseconds(Duration::from_secs(5_000_000)).map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    }
}
