//! Errors as replies.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;
use tracing::warn;

use super::reply::{error_reply, send};
use crate::contract::MessagePublisher;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::{Outcome, Reason};

/// Tells the requester that its request failed, in the moment when it does; then the error goes through, and the message is
/// retried or parked as ever. A rejection counts as an error.
///
/// Outside a [`Retry`](crate::layer::Retry) it answers what has failed for good; inside it answers the first failure, and a
/// later success finds nobody waiting. The reply is the error and its sources as one line of text
/// ([`Reason::from_error`]), with the header [`REPLY_ERROR`](crate::message::names::REPLY_ERROR): use it where
/// requesters may see that. If it cannot be published, that is logged, and the requester runs into its time-out.
#[derive(Clone)]
pub struct ReplyErrors(Arc<dyn MessagePublisher>);

impl ReplyErrors {
    /// Replies by this publisher, which is one to the default exchange.
    pub fn new(publisher: Arc<dyn MessagePublisher>) -> Self {
        Self(publisher)
    }
}

impl<H> Layer<H> for ReplyErrors {
    type Service = ReplyErrorsHandler<H>;

    fn layer(&self, inner: H) -> ReplyErrorsHandler<H> {
        ReplyErrorsHandler { inner, publisher: Arc::clone(&self.0) }
    }
}

/// A handler whose errors are replies, made by [`ReplyErrors`].
#[derive(Clone)]
pub struct ReplyErrorsHandler<H> {
    inner: H,
    publisher: Arc<dyn MessagePublisher>,
}

impl<H: Handler> Handler for ReplyErrorsHandler<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let request = delivery.clone();
        let result = self.inner.handle(delivery).await;
        let reason = match &result {
            Err(error) => Reason::from_error(&**error),
            Ok(Outcome::Reject { reason }) => reason.clone(),
            Ok(_) => return result,
        };
        if let Err(error) = send(&*self.publisher, &request, |to| error_reply(to, reason.as_str())).await {
            warn!(queue = request.queue(), id = request.id(), %error, "the requester was not told of the failure");
        }
        result
    }
}

impl fmt::Debug for ReplyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyErrors").finish_non_exhaustive()
    }
}

impl<H: fmt::Debug> fmt::Debug for ReplyErrorsHandler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyErrorsHandler").field("inner", &self.inner).finish_non_exhaustive()
    }
}
