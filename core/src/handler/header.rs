//! One header as an argument.

use std::any::type_name;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::Context;
use super::from_delivery::{FromDelivery, OptionalFromDelivery, undecodable};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind};
use crate::message::Value;

/// The value of one header. The type says which: it implements [`HeaderName`].
///
/// A message without the header, or with another type of value in it, is parked. Where it may be missing, ask for an
/// `Option`; another type of value is still an error then.
///
/// ```
/// use swarrot_core::{Header, HeaderName};
///
/// struct Tenant;
/// impl HeaderName for Tenant {
///     const NAME: &'static str = "tenant";
///     type Value = String;
/// }
///
/// async fn handle(Header(tenant): Header<Tenant>) {
///     println!("for {tenant}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<N: HeaderName>(pub N::Value);

/// Names a header and the type of its value, for [`Header`].
pub trait HeaderName: Send {
    /// The header's name.
    const NAME: &'static str;
    /// The type of its value.
    type Value: FromHeader;
}

impl<N: HeaderName> FromDelivery for Header<N> {
    fn from_delivery(delivery: &Delivery, context: &Context) -> Result<Self, BoxError> {
        let missing = || undecodable(Error::new(ErrorKind::Decode, format!("header {:?} is missing", N::NAME)));
        Self::optional_from_delivery(delivery, context)?.ok_or_else(missing)
    }
}

/// `None` where the header is missing.
impl<N: HeaderName> OptionalFromDelivery for Header<N> {
    fn optional_from_delivery(delivery: &Delivery, _: &Context) -> Result<Option<Self>, BoxError> {
        let Some(value) = delivery.headers().get(N::NAME) else { return Ok(None) };
        let other = || {
            let what = format!("header {:?} is not a {}", N::NAME, type_name::<N::Value>());
            undecodable(Error::new(ErrorKind::Decode, what))
        };
        N::Value::from_header(value).map(|value| Some(Self(value))).ok_or_else(other)
    }
}

/// A type that a header's value can be read as, for [`Header`].
#[diagnostic::on_unimplemented(
    message = "a header's value cannot be read as a `{Self}`",
    note = "it can be read as `String`, `bool`, `i64`, `i32`, `u64`, `u32`, `f64`, `Bytes`, `SystemTime`, `Value`, or your own type that implements `FromHeader`"
)]
pub trait FromHeader: Sized + Send {
    /// Reads the value; `None` if it is of another type.
    fn from_header(value: &Value) -> Option<Self>;
}

macro_rules! from_header {
    ($($target:ty => |$value:ident| $read:expr),* $(,)?) => {$(
        impl FromHeader for $target {
            fn from_header($value: &Value) -> Option<Self> {
                $read
            }
        }
    )*};
}

from_header! {
    Value => |value| Some(value.clone()),
    String => |value| value.as_str().map(str::to_owned),
    bool => |value| value.as_bool(),
    i64 => |value| value.as_int(),
    i32 => |value| value.as_int()?.try_into().ok(),
    u64 => |value| value.as_int()?.try_into().ok(),
    u32 => |value| value.as_int()?.try_into().ok(),
    f64 => |value| match value {
        Value::Float(number) => Some(*number),
        _ => None,
    },
    Bytes => |value| match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    },
    SystemTime => |value| UNIX_EPOCH.checked_add(Duration::from_secs(value.as_timestamp()?)),
}
