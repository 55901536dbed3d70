//! What is published: a body, properties and headers.

mod copy;
mod deaths;
mod failure;
mod headers;
mod limits;
pub mod names;
mod properties;
mod value;

use bytes::Bytes;
use uuid::Uuid;

pub(crate) use self::deaths::Deaths;
pub(crate) use self::failure::seconds;
pub use self::failure::{FailedAttempt, Failure};
pub use self::headers::Headers;
pub use self::limits::Limits;
pub use self::properties::Properties;
pub use self::value::Value;

/// What is published and handled: a body with properties and headers.
///
/// ```
/// use swarrot_core::Message;
///
/// let message = Message::new("hello").message_type("greeting").header("tries", 3_i64);
/// assert_eq!(message.body, "hello");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The content; no backend looks into it.
    pub body: Bytes,
    /// Standard metadata.
    pub properties: Properties,
    /// Free metadata. Names that begin with `swarrot_` or `x-` are reserved; see [`Limits`].
    pub headers: Headers,
}

impl Message {
    /// A message with this body and nothing else.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A message with this value as its JSON body and `application/json` as its content type.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if the value does not serialise.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> crate::Result<Self> {
        let body = serde_json::to_vec(value).map_err(|e| {
            crate::Error::new(crate::ErrorKind::Decode, "the value does not serialise to JSON").with_source(e)
        })?;
        Ok(Self::new(body).content_type("application/json"))
    }

    /// The value that the body is the JSON of.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if it is not.
    #[cfg(feature = "json")]
    pub fn parse_json<T: serde::de::DeserializeOwned>(&self) -> crate::Result<T> {
        serde_json::from_slice(&self.body).map_err(|e| {
            let what = format!("the body is not the JSON of a {}", std::any::type_name::<T>());
            crate::Error::new(crate::ErrorKind::Decode, what).with_source(e)
        })
    }

    /// Sets a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the message's id, instead of the UUID that the publisher would set.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.properties.message_id = Some(id.into());
        self
    }

    /// Sets the application's name for this kind of message.
    pub fn message_type(mut self, name: impl Into<String>) -> Self {
        self.properties.message_type = Some(name.into());
        self
    }

    /// Sets the MIME type of the body.
    pub fn content_type(mut self, mime: impl Into<String>) -> Self {
        self.properties.content_type = Some(mime.into());
        self
    }

    /// Sets the id that links a reply to its request.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.properties.correlation_id = Some(id.into());
        self
    }

    /// Sets the queue where a reply is awaited.
    pub fn reply_to(mut self, queue: impl Into<String>) -> Self {
        self.properties.reply_to = Some(queue.into());
        self
    }

    /// Sets the priority; higher is served first, where the queue has priorities.
    pub fn priority(mut self, priority: u8) -> Self {
        self.properties.priority = Some(priority);
        self
    }

    /// Sets how long the message may wait in a queue before it expires.
    pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
        self.properties.ttl = Some(ttl);
        self
    }

    /// Sets a UUID v7 as the message's id, unless it has one. Publishers call it.
    pub fn ensure_id(&mut self) {
        if self.properties.message_id.is_none() {
            self.properties.message_id = Some(Uuid::now_v7().to_string());
        }
    }

    /// How often the message was retried: the header [`names::RETRY_ATTEMPTS`], 0 where there is none.
    pub fn retry_attempts(&self) -> u32 {
        let clamp = |n: i64| u32::try_from(n).unwrap_or(if n < 0 { 0 } else { u32::MAX });
        let count = match self.headers.get(names::RETRY_ATTEMPTS) {
            Some(Value::Int(n)) => clamp(*n),
            // Some clients send numbers as text, and some know but one kind of number.
            Some(Value::String(text)) => text.trim().parse().map_or(0, clamp),
            #[expect(clippy::cast_possible_truncation, reason = "what does not fit is cut at the limits")]
            Some(Value::Float(x)) => clamp(*x as i64),
            _ => 0,
        };
        // Room for the attempt that follows.
        count.min(u32::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_attempts_reads_what_others_write() {
        let with = |value: Value| Message::new("").header(names::RETRY_ATTEMPTS, value).retry_attempts();
        assert_eq!(Message::new("").retry_attempts(), 0);
        assert_eq!(with(Value::Int(2)), 2);
        assert_eq!(with(Value::Int(-2)), 0);
        assert_eq!(with(Value::Int(i64::MAX)), u32::MAX - 1);
        assert_eq!(with(Value::from("3")), 3);
        assert_eq!(with(Value::from(" 3\n")), 3);
        assert_eq!(with(Value::from("three")), 0);
        assert_eq!(with(Value::Float(3.0)), 3);
        assert_eq!(with(Value::Float(f64::NAN)), 0);
        assert_eq!(with(Value::Float(f64::INFINITY)), u32::MAX - 1);
        assert_eq!(with(Value::List(vec![Value::Int(3)])), 0);
    }
}
