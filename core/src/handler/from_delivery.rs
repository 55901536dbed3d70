//! From a delivery to the arguments of a handler.

use bytes::Bytes;

use super::Context;
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::marks::Permanent;
use crate::message::{Headers, Message, Value};
use crate::worker::WorkerHandle;

/// An argument of a handler, made from the delivery.
///
/// # Errors
/// An error of [`from_delivery`](Self::from_delivery) counts as the handler's own. What would fail again on a retry is
/// marked [`Permanent`], so that the message is parked at once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "does not implement `FromDelivery`",
    note = "arguments may be `Json<T>`, `String`, `Bytes`, `Delivery`, `Message`, `Headers`, `Header<N>`, `Attempt`, `State<T>`, `Extension<T>`, `WorkerHandle`, an `Option` of one of them, or your own type that implements `FromDelivery`"
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

impl FromDelivery for WorkerHandle {
    fn from_delivery(_: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(context.worker().clone())
    }
}

/// `None` where the argument cannot be made from this delivery.
impl<T: FromDelivery> FromDelivery for Option<T> {
    fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(T::from_delivery(delivery, context).ok())
    }
}

/// A type that a header's value can be read as, for [`Header`](super::Header).
pub trait FromHeader: Sized + Send {
    /// Reads the value; `None` if it is of another type.
    fn from_header(value: &Value) -> Option<Self>;
}

impl FromHeader for Value {
    fn from_header(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromHeader for String {
    fn from_header(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromHeader for bool {
    fn from_header(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromHeader for i64 {
    fn from_header(value: &Value) -> Option<Self> {
        value.as_int()
    }
}

impl FromHeader for f64 {
    fn from_header(value: &Value) -> Option<Self> {
        match value {
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }
}
