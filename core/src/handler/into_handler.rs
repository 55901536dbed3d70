//! What a worker can run.

use tower_layer::Identity;

use super::{Context, Handler, Layered};
use crate::error::Result;

/// What kind of handler a type is: a [`Handler`] as it is, a function of so many arguments, and so on.
///
/// It is implemented for functions of any arguments, fit for a handler or not. Wherever a handler is expected, the compiler
/// first finds the kind here, and then tells exactly which argument or result does not do. Nobody implements it but for
/// an [`IntoHandler`] of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function of up to eight arguments, taken by value, that implement `FromDelivery`, with a result that implements `IntoOutcome` and a future that is `Send`; or a type that implements `Handler`, such as a handler with a layer around it"
)]
pub trait HandlerShape<Args> {}

/// What a worker can run: a [`Handler`], an async function of up to eight arguments, a [`Router`](crate::Router), a
/// [`Batch`](crate::Batch).
///
/// `Args` tells these apart, and functions of different arguments; it is always inferred.
///
/// A function of one's own that takes a handler has both bounds, in this order, so that its users get clear errors:
/// `H: HandlerShape<Args> + IntoHandler<Args>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function of up to eight arguments, taken by value, that implement `FromDelivery`, with a result that implements `IntoOutcome` and a future that is `Send`; or a type that implements `Handler`, such as a handler with a layer around it"
)]
pub trait IntoHandler<Args>: HandlerShape<Args> + Sized {
    /// The handler that it becomes.
    type Handler: Handler;

    /// Binds it to a worker's context.
    ///
    /// # Errors
    /// If the context lacks what an argument needs.
    fn into_handler(self, context: &Context) -> Result<Self::Handler>;

    /// Wraps this handler alone in a layer, such as one route of a [`Router`](crate::Router). The layer added first is the
    /// outermost; a panic of the handler is an error for the layer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use swarrot_core::layer::{Retry, Timeout};
    /// use swarrot_core::{IntoHandler, Router};
    ///
    /// async fn resize(image: String) {}
    /// async fn count() {}
    ///
    /// let second = Duration::from_secs(1);
    /// let router = Router::new()
    ///     .message_type("resize", resize.layer(Retry::fixed(second)).layer(Timeout::new(60 * second)))
    ///     .message_type("count", count);
    /// ```
    fn layer<L>(self, layer: L) -> Layered<Self, tower_layer::Stack<L, Identity>, Args> {
        Layered::new(self).layer(layer)
    }
}

/// Marks a type that is a handler as it is.
#[derive(Debug)]
pub struct AsIs;

impl<H: Handler> HandlerShape<AsIs> for H {}

impl<H: Handler> IntoHandler<AsIs> for H {
    type Handler = H;

    fn into_handler(self, _: &Context) -> Result<H> {
        Ok(self)
    }
}

/// Checks at compile time that a function is a handler, and says what is wrong with it where it stands, not where it is
/// used. It does nothing at run time.
///
/// ```
/// use swarrot_core::{Attempt, check_handler};
///
/// async fn send(text: String, attempt: Attempt) {}
///
/// const _: () = check_handler(&send);
/// ```
///
/// See [how to read the compiler's messages](https://docs.rs/swarrot/latest/swarrot/debugging_handlers/).
pub const fn check_handler<H, Args>(handler: &H)
where
    H: HandlerShape<Args> + IntoHandler<Args>,
{
    let _ = handler;
}
