//! Async functions as handlers.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use super::{Context, FromDelivery, Handler, HandlerShape, IntoHandler, IntoOutcome};
use crate::delivery::Delivery;
use crate::error::{BoxError, Result};
use crate::outcome::Outcome;

/// An async function as a [`Handler`].
pub struct FnHandler<F, Args> {
    function: F,
    context: Context,
    args: PhantomData<fn(Args)>,
}

impl<F, Args> fmt::Debug for FnHandler<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FnHandler({})", std::any::type_name::<F>())
    }
}

impl<F, Args> Handler for FnHandler<F, Args>
where
    F: Function<Args, Output: IntoOutcome>,
    Args: 'static,
{
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        self.function.call(&delivery, &self.context).await?.into_outcome()
    }
}

/// An async function of up to eight arguments that implement [`FromDelivery`], whatever it returns: what a handler is made
/// of. It is implemented for such functions, and by nobody else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of a delivery",
    note = "an async function of up to eight arguments that implement `FromDelivery` is one, if its future is `Send`"
)]
pub trait Function<Args>: Send + Sync + 'static {
    /// What it returns.
    type Output;

    /// Checks, when the worker starts, that the context has what the arguments need.
    ///
    /// # Errors
    /// What is missing.
    fn check(context: &Context) -> Result<()>;

    /// Makes the arguments and calls it with them.
    ///
    /// # Errors
    /// Whatever keeps an argument from being made.
    fn call(
        &self,
        delivery: &Delivery,
        context: &Context,
    ) -> impl Future<Output = Result<Self::Output, BoxError>> + Send;
}

macro_rules! functions {
    ($(($($arg:ident)*))*) => {$(
        impl<F, Fut, $($arg,)*> HandlerShape<(Fut, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut
        {
        }

        impl<F, Fut, $($arg,)*> Function<(Fut, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($arg: FromDelivery + 'static,)*
        {
            type Output = Fut::Output;

            #[expect(clippy::allow_attributes, reason = "which names are unused depends on the number of arguments")]
            #[allow(unused_variables, reason = "one body for every number of arguments")]
            fn check(context: &Context) -> Result<()> {
                $($arg::check(context)?;)*
                Ok(())
            }

            #[expect(clippy::allow_attributes, reason = "which names are unused depends on the number of arguments")]
            #[allow(unused_variables, non_snake_case, reason = "one body for every number of arguments")]
            async fn call(&self, delivery: &Delivery, context: &Context) -> Result<Fut::Output, BoxError> {
                // The arguments are made before the first await: a message that does not fit runs no user code.
                $(let $arg = $arg::from_delivery(delivery, context)?;)*
                Ok(self($($arg),*).await)
            }
        }

        impl<F, Fut, $($arg,)*> IntoHandler<(Fut, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($arg: FromDelivery + 'static,)*
        {
            type Handler = FnHandler<F, (Fut, $($arg,)*)>;

            fn into_handler(self, context: &Context) -> Result<Self::Handler> {
                <F as Function<(Fut, $($arg,)*)>>::check(context)?;
                Ok(FnHandler { function: self, context: context.clone(), args: PhantomData })
            }
        }
    )*};
}

functions! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
    (A1 A2 A3 A4)
    (A1 A2 A3 A4 A5)
    (A1 A2 A3 A4 A5 A6)
    (A1 A2 A3 A4 A5 A6 A7)
    (A1 A2 A3 A4 A5 A6 A7 A8)
}
