//! Requests and their replies, over the properties `reply_to` and `correlation_id`.

mod error;
mod into_reply;
mod options;
mod pending;
mod receiving;
mod reply;
mod reply_errors;
mod requester;

pub use self::error::RequestError;
pub use self::into_reply::IntoReply;
pub use self::options::RequesterOptions;
pub use self::reply::{ReplyHandler, Replying, reply};
pub use self::reply_errors::{ReplyErrors, ReplyErrorsHandler};
pub use self::requester::Requester;
