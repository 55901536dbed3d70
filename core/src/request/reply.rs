//! The side that answers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tracing::debug;

use super::IntoReply;
use crate::contract::{MessagePublisher, MessagePublisherExt, Outgoing};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::handler::{Context, Function, Handler, HandlerShape, IntoHandler};
use crate::marks::Permanent;
use crate::message::{Message, names};
use crate::outcome::Outcome;

/// A handler from an async function whose result is published as the reply to the request.
///
/// The reply goes to the queue that the request's `reply_to` names, by this publisher, which is one to the default exchange;
/// it has the request's `correlation_id`, or its message id where there is none. The request is acked once the broker has
/// confirmed the reply. If the requester's queue is gone the reply is dropped; if publishing it fails in another way,
/// that is the handler's error. A request without `reply_to` is handled without a reply.
///
/// ```
/// # use std::sync::Arc;
/// # use swarrot_core::{BoxError, MessageProvider, MessagePublisher, ReplyErrors, Worker, reply};
///
/// async fn shout(text: String) -> Result<String, BoxError> {
///     Ok(text.to_uppercase())
/// }
///
/// # async fn serve(provider: Arc<dyn MessageProvider>, publisher: Arc<dyn MessagePublisher>) -> Result<(), BoxError> {
/// // let publisher = broker.publisher("", PublisherOptions::default()).await?;
/// Worker::new(provider)
///     .layer(ReplyErrors::new(Arc::clone(&publisher))) // errors are answered too
///     .run(reply(publisher, shout))
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// Whoever may publish requests names the queue that gets the reply; a broker whose users are not to write to each other's
/// queues has to say so in its permissions.
pub fn reply<F, Args>(publisher: Arc<dyn MessagePublisher>, function: F) -> Replying<F, Args>
where
    F: HandlerShape<Args> + Function<Args>,
    F::Output: IntoReply,
{
    Replying { function, publisher, args: PhantomData }
}

/// A function whose result is published as a reply, made by [`reply`].
pub struct Replying<F, Args> {
    function: F,
    publisher: Arc<dyn MessagePublisher>,
    args: PhantomData<fn(Args)>,
}

/// Marks a function that replies.
#[derive(Debug)]
pub struct WithReplies;

impl<F, Args> HandlerShape<WithReplies> for Replying<F, Args> {}

impl<F, Args> IntoHandler<WithReplies> for Replying<F, Args>
where
    F: Function<Args, Output: IntoReply + Send>,
    Args: 'static,
{
    type Handler = ReplyHandler<F, Args>;

    fn into_handler(self, context: &Context) -> Result<Self::Handler> {
        F::check(context)?;
        check_publisher(&*self.publisher)?;
        Ok(ReplyHandler { inner: self, context: context.clone() })
    }
}

/// A function whose result is published as a reply, bound to a worker's context.
pub struct ReplyHandler<F, Args> {
    inner: Replying<F, Args>,
    context: Context,
}

impl<F, Args> Handler for ReplyHandler<F, Args>
where
    F: Function<Args, Output: IntoReply + Send>,
    Args: 'static,
{
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let reply = self.inner.function.call(&delivery, &self.context).await?.into_reply()?;
        send(&*self.inner.publisher, &delivery, |to| Outgoing::new(to, reply)).await?;
        Ok(Outcome::Ack)
    }
}

/// That replies can be routed by the names of queues.
pub(super) fn check_publisher(publisher: &dyn MessagePublisher) -> Result<()> {
    if publisher.exchange().is_empty() {
        return Ok(());
    }
    let what = "replies need a publisher to the default exchange, whose name is empty";
    Err(Error::new(ErrorKind::InvalidInput, what).with_operation("reply").with_target(publisher.exchange()))
}

/// Publishes a reply, if the request wants one and its queue is still there.
pub(super) async fn send(
    publisher: &dyn MessagePublisher,
    request: &Delivery,
    reply: impl FnOnce(&str) -> Outgoing + Send,
) -> Result<(), BoxError> {
    let properties = &request.message().properties;
    let Some(reply_to) = properties.reply_to.as_deref() else {
        debug!(queue = request.queue(), id = request.id(), "the request names no queue for a reply");
        return Ok(());
    };
    let mut outgoing = reply(reply_to);
    let correlation = properties.correlation_id.clone().unwrap_or_else(|| request.id().to_owned());
    outgoing.message.properties.correlation_id = Some(correlation);
    let Err(error) = publisher.publish_one(outgoing).await else { return Ok(()) };
    match error.kind() {
        ErrorKind::Unroutable | ErrorKind::NotFound => {
            debug!(queue = request.queue(), id = request.id(), reply_to, "nobody waits for a reply any more");
            Ok(())
        }
        // It would be the same the next time.
        ErrorKind::TooLarge | ErrorKind::InvalidInput | ErrorKind::Unsupported => Err(Permanent::new(error).into()),
        _ => Err(error.into()),
    }
}

/// The text of an error as a reply.
pub(super) fn error_reply(to: &str, text: &str) -> Outgoing {
    let message =
        Message::new(text.to_owned()).content_type("text/plain; charset=utf-8").header(names::REPLY_ERROR, true);
    Outgoing::copy(to, message)
}

impl<F, Args> fmt::Debug for Replying<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replying({})", std::any::type_name::<F>())
    }
}

impl<F, Args> fmt::Debug for ReplyHandler<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyHandler({})", std::any::type_name::<F>())
    }
}
