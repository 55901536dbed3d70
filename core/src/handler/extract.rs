//! The arguments that a handler may ask for.

use std::any::{Any, type_name};
use std::ops::Deref;
use std::sync::Arc;

use super::Context;
use super::from_delivery::{FromDelivery, FromHeader, undecodable};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};

/// The body, decoded from JSON. A body that does not decode is parked at once: a retry would not mend it.
///
/// ```
/// use swarrot_core::Json;
///
/// #[derive(serde::Deserialize)]
/// struct Reset { address: String }
///
/// async fn send(Json(reset): Json<Reset>) {
///     println!("to {}", reset.address);
/// }
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + Send> FromDelivery for Json<T> {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        serde_json::from_slice(delivery.body()).map(Self).map_err(|e| {
            let what = format!("the body is not the JSON of a {}", type_name::<T>());
            undecodable(Error::new(ErrorKind::Decode, what).with_source(e))
        })
    }
}

/// Which attempt this is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

impl FromDelivery for Attempt {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        Ok(Self(delivery.attempt()))
    }
}

/// The value of one header. The type says which: it implements [`HeaderName`].
///
/// A message without the header, or with another type of value in it, is parked; ask for an `Option` where it may be
/// missing.
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
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        let bad = |what: String| undecodable(Error::new(ErrorKind::Decode, what));
        let value = delivery.headers().get(N::NAME).ok_or_else(|| bad(format!("header {:?} is missing", N::NAME)))?;
        let read = N::Value::from_header(value);
        read.map(Self).ok_or_else(|| bad(format!("header {:?} is not a {}", N::NAME, type_name::<N::Value>())))
    }
}

/// A value shared by all deliveries: the one of this type that was given to [`Worker::state`](crate::Worker::state).
/// A worker that lacks it does not start.
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T: Any + Send + Sync> FromDelivery for State<T> {
    fn from_delivery(_: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(Self(context.state()?))
    }

    fn check(context: &Context) -> Result<()> {
        context.state::<T>().map(drop)
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A value that a layer has added to this delivery.
#[derive(Debug)]
pub struct Extension<T>(pub Arc<T>);

impl<T: Any + Send + Sync> FromDelivery for Extension<T> {
    fn from_delivery(delivery: &Delivery, _: &Context) -> Result<Self, BoxError> {
        let missing = || {
            let what = format!("no layer has added an Extension<{}>", type_name::<T>());
            BoxError::from(Error::new(ErrorKind::NotFound, what))
        };
        delivery.extension().map(Self).ok_or_else(missing)
    }
}

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
