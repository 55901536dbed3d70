//! Async functions that handle batches.

use std::future::Future;

use super::IntoOutcomes;
use crate::error::{BoxError, Result};
use crate::handler::{Context, FromContext, FromDelivery};

/// The kind of a batch handler: how many arguments it has. The compiler finds it first, and then tells exactly which
/// argument or result does not do; see [`HandlerShape`](crate::HandlerShape).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch handler",
    label = "not a batch handler",
    note = "a batch handler is an async function whose first argument is a `Vec<T>` of what each delivery is made into, such as `Vec<String>` or `Vec<(Json<T>, Attempt)>`, with up to three more that implement `FromContext`, such as `State<T>`"
)]
pub trait BatchShape<Args> {}

/// What a [`Batch`](super::Batch) can run: an async function of a `Vec` and up to three more arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch handler",
    label = "not a batch handler",
    note = "a batch handler is an async function whose first argument is a `Vec<T>` of what each delivery is made into, such as `Vec<String>` or `Vec<(Json<T>, Attempt)>`, with up to three more that implement `FromContext`, such as `State<T>`"
)]
pub trait BatchFunction<Args>: BatchShape<Args> + Send + Sync + 'static {
    /// What each delivery is made into.
    type Item: FromDelivery + 'static;

    /// Checks, when the worker starts, that the context has what the arguments need.
    ///
    /// # Errors
    /// What is missing.
    fn check(context: &Context) -> Result<()>;

    /// What it returns.
    type Output: IntoOutcomes;

    /// Handles a batch.
    fn call(
        &self,
        items: Vec<Self::Item>,
        context: &Context,
    ) -> impl Future<Output = Result<Self::Output, BoxError>> + Send;
}

macro_rules! functions {
    ($(($($arg:ident)*))*) => {$(
        impl<F, Fut, T, $($arg,)*> BatchShape<(Fut, T, $($arg,)*)> for F
        where
            F: Fn(Vec<T>, $($arg),*) -> Fut
        {
        }

        impl<F, Fut, T, $($arg,)*> BatchFunction<(Fut, T, $($arg,)*)> for F
        where
            F: Fn(Vec<T>, $($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcomes> + Send + 'static,
            T: FromDelivery + 'static,
            $($arg: FromContext + 'static,)*
        {
            type Item = T;
            type Output = Fut::Output;

            #[expect(clippy::allow_attributes, reason = "which names are unused depends on the number of arguments")]
            #[allow(unused_variables, reason = "one body for every number of arguments")]
            fn check(context: &Context) -> Result<()> {
                T::check(context)?;
                $($arg::from_context(context)?;)*
                Ok(())
            }

            #[expect(clippy::allow_attributes, reason = "which names are unused depends on the number of arguments")]
            #[allow(unused_variables, non_snake_case, reason = "one body for every number of arguments")]
            async fn call(&self, items: Vec<T>, context: &Context) -> Result<Fut::Output, BoxError> {
                $(let $arg = $arg::from_context(context)?;)*
                Ok(self(items, $($arg),*).await)
            }
        }
    )*};
}

functions! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
}
