//! Async functions as handlers.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use super::{Context, FromDelivery, Handler, IntoOutcome};
use crate::delivery::Delivery;
use crate::error::{BoxError, Result};
use crate::outcome::Outcome;

/// What a worker can run: a [`Handler`], or an async function of up to eight arguments.
///
/// `Args` tells the two, and functions of different arguments, apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async function of up to eight arguments that implement `FromDelivery`, with a result that implements `IntoOutcome` and a future that is `Send`; or a type that implements `Handler`"
)]
pub trait IntoHandler<Args> {
    /// The handler that it becomes.
    type Handler: Handler;

    /// Binds it to a worker's context.
    ///
    /// # Errors
    /// If the context lacks what an argument needs.
    fn into_handler(self, context: &Context) -> Result<Self::Handler>;
}

/// Marks a type that is a handler as it is.
#[derive(Debug)]
pub struct AsIs;

impl<H: Handler> IntoHandler<AsIs> for H {
    type Handler = H;

    fn into_handler(self, _: &Context) -> Result<H> {
        Ok(self)
    }
}

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

macro_rules! functions {
    ($($arg:ident)*) => {
        impl<F, Fut, $($arg,)*> IntoHandler<(F, Fut, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($arg: FromDelivery + 'static,)*
        {
            type Handler = FnHandler<F, (Fut, $($arg,)*)>;

            fn into_handler(self, context: &Context) -> Result<Self::Handler> {
                $($arg::check(context)?;)*
                Ok(FnHandler { function: self, context: context.clone(), args: PhantomData })
            }
        }

        impl<F, Fut, $($arg,)*> Handler for FnHandler<F, (Fut, $($arg,)*)>
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($arg: FromDelivery + 'static,)*
        {
            #[expect(clippy::allow_attributes, reason = "which names are unused depends on the number of arguments")]
            #[allow(unused_variables, non_snake_case, reason = "one body for every number of arguments")]
            async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
                // The arguments are made before the first await: a message that does not fit runs no user code.
                $(let $arg = $arg::from_delivery(&delivery, &self.context)?;)*
                (self.function)($($arg),*).await.into_outcome()
            }
        }
    };
}

functions!();
functions!(A1);
functions!(A1 A2);
functions!(A1 A2 A3);
functions!(A1 A2 A3 A4);
functions!(A1 A2 A3 A4 A5);
functions!(A1 A2 A3 A4 A5 A6);
functions!(A1 A2 A3 A4 A5 A6 A7);
functions!(A1 A2 A3 A4 A5 A6 A7 A8);
