//! From the result of a function to a reply.

use bytes::Bytes;

use crate::error::BoxError;
use crate::handler::HandlerError;
#[cfg(feature = "json")]
use crate::handler::Json;
use crate::message::Message;

/// What a function that [replies](super::reply) may return: the reply, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a reply",
    note = "a reply is a `Message`, `Json<T>`, `String`, `&'static str`, `Bytes`, `Vec<u8>`, `()`, or a `Result` of one of them with an error that converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoReply {
    /// Turns it into a message.
    ///
    /// # Errors
    /// The handler's own error, or a value that does not encode.
    fn into_reply(self) -> Result<Message, BoxError>;
}

impl IntoReply for Message {
    fn into_reply(self) -> Result<Message, BoxError> {
        Ok(self)
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Result<Message, BoxError> {
        Ok(Message::json(&self.0).map_err(crate::marks::Permanent::new)?)
    }
}

impl<T: IntoReply, E: HandlerError> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Message, BoxError> {
        self.map_err(HandlerError::into_box)?.into_reply()
    }
}

macro_rules! bodies {
    ($($body:ty),*) => {$(
        impl IntoReply for $body {
            fn into_reply(self) -> Result<Message, BoxError> {
                Ok(Message::new(self))
            }
        }
    )*};
}

bodies!(String, &'static str, Bytes, Vec<u8>);

/// An empty reply: it says that the request was handled.
impl IntoReply for () {
    fn into_reply(self) -> Result<Message, BoxError> {
        Ok(Message::default())
    }
}
