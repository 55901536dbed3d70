//! The user's code, and how a delivery reaches its arguments.

mod context;
mod extract;
mod from_delivery;
mod function;
mod handler_error;
mod header;
mod into_handler;
mod into_outcome;
mod layered;

use std::future::Future;

pub use self::context::Context;
#[cfg(feature = "json")]
pub use self::extract::Json;
pub use self::extract::{Attempt, Extension, State};
pub use self::from_delivery::{FromContext, FromDelivery, OptionalFromDelivery};
pub use self::function::{FnHandler, Function};
pub use self::handler_error::HandlerError;
pub use self::header::{FromHeader, Header, HeaderName};
pub use self::into_handler::{HandlerShape, IntoHandler, check_handler};
pub use self::into_outcome::IntoOutcome;
pub use self::layered::Layered;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// The user's code: takes a delivery and decides what becomes of it.
///
/// Plain async functions are handlers: their arguments implement [`FromDelivery`], their result [`IntoOutcome`].
/// Implement this trait for what has a state of its own, and for handlers nested in a layer:
///
/// ```
/// use swarrot_core::{BoxError, Delivery, Handler, Outcome};
///
/// struct Logged<H>(H);
///
/// impl<H: Handler> Handler for Logged<H> {
///     async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
///         let id = delivery.id().to_owned();
///         let result = self.0.handle(delivery).await;
///         println!("{id}: {result:?}");
///         result
///     }
/// }
/// ```
///
/// # Errors
/// A layer may turn an error into an outcome, such as a retry; an error that reaches the worker parks the message.
///
/// # Cancel safety
/// The future is dropped at an await when the worker's stop deadline passes, when a timeout layer says so, or when the
/// broker has given the message to someone else. The message is delivered again then.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function whose arguments implement `FromDelivery` and whose result implements `IntoOutcome`, or a type that implements `Handler`",
    note = "what a layer makes has to be a handler too: `impl<H: Handler> Handler for` it; a layer of tower's goes into a `TowerLayer`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Handles one delivery.
    fn handle(&self, delivery: Delivery) -> impl Future<Output = Result<Outcome, BoxError>> + Send;
}
