//! The properties of a message.

use std::time::Duration;

/// What AMQP 0-9-1 calls the basic properties, on every backend. All are optional.
///
/// Every message is published persistent; that is no property but a promise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// MIME type of the body, such as `application/json`.
    pub content_type: Option<String>,
    /// Encoding of the body, such as `gzip`.
    pub content_encoding: Option<String>,
    /// The message's own id. A publisher sets a UUID v7 where there is none.
    pub message_id: Option<String>,
    /// Links a reply to its request.
    pub correlation_id: Option<String>,
    /// The queue where a reply is awaited.
    pub reply_to: Option<String>,
    /// The application's name for this kind of message: the AMQP property `type`.
    pub message_type: Option<String>,
    /// When the message was made, in whole seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// How long the message may wait in a queue before it expires; milliseconds are kept.
    pub ttl: Option<Duration>,
    /// Priority in a queue that has priorities; higher is served first.
    pub priority: Option<u8>,
    /// The broker's user that published it; RabbitMQ refuses a name that is not the connection's own.
    pub user_id: Option<String>,
    /// The application that published it.
    pub app_id: Option<String>,
}
