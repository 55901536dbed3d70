//! From a delivery, or from what its worker knows, to the arguments of a handler.

use bytes::Bytes;

use super::Context;
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::marks::Permanent;
use crate::message::{Headers, Message};
use crate::worker::WorkerHandle;

/// An argument of a handler, made from the delivery.
///
/// ```
/// use swarrot_core::{BoxError, Context, Delivery, FromDelivery, Permanent};
///
/// /// The user on whose behalf a message was sent.
/// struct User(String);
///
/// impl FromDelivery for User {
///     fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
///         let name = delivery.headers().get("user").and_then(|value| value.as_str());
///         Ok(Self(name.ok_or(Permanent::new("no user"))?.to_owned()))
///     }
/// }
///
/// async fn greet(User(name): User) {
///     println!("hello, {name}");
/// }
/// ```
///
/// # Errors
/// An error of [`from_delivery`](Self::from_delivery) counts as the handler's own. What would fail again on a retry is
/// marked [`Permanent`], so that the message is parked at once. A handler that wants to see the error itself asks for a
/// `Result<T, BoxError>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "does not implement `FromDelivery`",
    note = "arguments are taken by value, and may be `Json<T>`, `String`, `Bytes`, `Delivery`, `Message`, `Headers`, `Header<N>`, `Attempt`, `State<T>`, `Extension<T>`, `WorkerHandle`, a tuple of them, a `Result<T, BoxError>` of one of them, or your own type that implements `FromDelivery`"
)]
pub trait FromDelivery: Sized + Send {
    /// Makes the argument.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError>;

    /// Checks, when the worker starts, that the context has what the argument needs.
    ///
    /// # Errors
    /// What is missing; the worker does not start.
    fn check(context: &Context) -> Result<()> {
        let _ = context;
        Ok(())
    }
}

/// An argument that may be absent: what makes `Option<T>` an argument.
///
/// `None` says that there is nothing; what is there and does not decode is an error all the same.
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot be an argument of a handler",
    label = "does not implement `OptionalFromDelivery`",
    note = "what may be absent is `Json<T>`, `Header<N>`, `State<T>` and `Extension<T>`",
    note = "to see the error of an argument that cannot be made, ask for `Result<{Self}, BoxError>`"
)]
pub trait OptionalFromDelivery: Sized + Send {
    /// Makes the argument, if there is something to make it from.
    ///
    /// # Errors
    /// Whatever keeps it from being made, other than that it is absent.
    fn optional_from_delivery(delivery: &Delivery, context: &Context) -> Result<Option<Self>, BoxError>;
}

/// An argument that is made from what the worker knows, whatever the delivery: all that the arguments after the first
/// one of a [batch handler](crate::Batch) may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made without a delivery",
    label = "does not implement `FromContext`",
    note = "behind the batch itself, arguments are the same for all of its messages: `State<T>`, `WorkerHandle`, or your own type that implements `FromContext`",
    note = "what each message has goes into the batch, such as `Vec<(Json<T>, Attempt)>`"
)]
pub trait FromContext: Sized + Send {
    /// Makes the argument. When the worker starts it is made once, and thrown away.
    ///
    /// # Errors
    /// What is missing; the worker does not start then.
    fn from_context(context: &Context) -> Result<Self>;
}

/// A message that does not fit the handler's arguments.
pub(super) fn undecodable(error: Error) -> BoxError {
    Permanent::new(error).into()
}

impl FromDelivery for Delivery {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        Ok(delivery.clone())
    }
}

impl FromDelivery for Message {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        Ok(delivery.message().clone())
    }
}

impl FromDelivery for Bytes {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        Ok(delivery.body().clone())
    }
}

impl FromDelivery for Headers {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        Ok(delivery.headers().clone())
    }
}

impl FromDelivery for String {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        let text = std::str::from_utf8(delivery.body())
            .map_err(|e| undecodable(Error::new(ErrorKind::Decode, "the body is not UTF-8 text").with_source(e)))?;
        Ok(text.to_owned())
    }
}

impl FromContext for WorkerHandle {
    fn from_context(context: &Context) -> Result<Self> {
        Ok(context.worker().clone())
    }
}

impl FromDelivery for WorkerHandle {
    fn from_delivery(_: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(Self::from_context(context)?)
    }
}

/// `None` where there is nothing to make the argument from.
impl<T: OptionalFromDelivery> FromDelivery for Option<T> {
    fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError> {
        T::optional_from_delivery(delivery, context)
    }
}

/// For a handler that decides itself what becomes of a message that does not fit.
impl<T: FromDelivery> FromDelivery for Result<T, BoxError> {
    fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(T::from_delivery(delivery, context))
    }

    fn check(context: &Context) -> Result<()> {
        T::check(context)
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: FromDelivery),*> FromDelivery for ($($part,)*) {
            fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError> {
                Ok(($($part::from_delivery(delivery, context)?,)*))
            }

            fn check(context: &Context) -> Result<()> {
                $($part::check(context)?;)*
                Ok(())
            }
        }
    )*};
}

tuples! { (A B) (A B C) (A B C D) }
