//! The arguments that a handler may ask for.

use std::any::{Any, type_name};
use std::ops::Deref;
use std::sync::Arc;

use super::Context;
#[cfg(feature = "json")]
use super::from_delivery::undecodable;
use super::from_delivery::{FromContext, FromDelivery, OptionalFromDelivery};
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind, Result};

/// The body, decoded from JSON. A body that does not decode is parked at once: a retry would not mend it.
///
/// An `Option<Json<T>>` is `None` where the body is empty; a `Result<Json<T>, BoxError>` shows the handler what does not
/// decode.
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
        delivery.message().parse_json().map(Self).map_err(undecodable)
    }
}

/// `None` where the body is empty.
#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + Send> OptionalFromDelivery for Json<T> {
    fn optional_from_delivery(delivery: &Delivery, context: &Context) -> Result<Option<Self>, BoxError> {
        if delivery.body().is_empty() { Ok(None) } else { Self::from_delivery(delivery, context).map(Some) }
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

/// A value shared by all deliveries: the one of this type that was given to [`Worker::state`](crate::Worker::state).
/// A worker that lacks it does not start.
///
/// ```
/// use swarrot_core::State;
///
/// struct Mailer;
/// impl Mailer {
///     async fn send(&self, text: &str) {}
/// }
///
/// async fn send(State(mailer): State<Mailer>, text: String) { // worker.state(Mailer)
///     mailer.send(&text).await;
/// }
/// ```
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T: Any + Send + Sync> FromContext for State<T> {
    fn from_context(context: &Context) -> Result<Self> {
        context.state().map(Self)
    }
}

impl<T: Any + Send + Sync> FromDelivery for State<T> {
    fn from_delivery(_: &Delivery, context: &Context) -> Result<Self, BoxError> {
        Ok(Self::from_context(context)?)
    }

    fn check(context: &Context) -> Result<()> {
        context.state::<T>().map(drop)
    }
}

/// `None` where the worker has no such value.
impl<T: Any + Send + Sync> OptionalFromDelivery for State<T> {
    fn optional_from_delivery(_: &Delivery, context: &Context) -> Result<Option<Self>, BoxError> {
        Ok(context.state().ok().map(Self))
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

/// A value that a layer has added to this delivery with [`Delivery::insert_extension`].
///
/// ```
/// use swarrot_core::{BoxError, Delivery, Extension, Handler, Outcome};
///
/// struct Tenant(String);
///
/// /// Finds out the tenant, once for all handlers.
/// struct WithTenant<H>(H);
///
/// impl<H: Handler> Handler for WithTenant<H> {
///     async fn handle(&self, mut delivery: Delivery) -> Result<Outcome, BoxError> {
///         let tenant = delivery.queue().split('.').next().unwrap_or_default().to_owned();
///         delivery.insert_extension(Tenant(tenant));
///         self.0.handle(delivery).await
///     }
/// }
///
/// async fn handle(Extension(tenant): Extension<Tenant>) {
///     println!("for {}", tenant.0);
/// }
/// ```
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

/// `None` where no layer has added one.
impl<T: Any + Send + Sync> OptionalFromDelivery for Extension<T> {
    fn optional_from_delivery(delivery: &Delivery, _: &Context) -> Result<Option<Self>, BoxError> {
        Ok(delivery.extension().map(Self))
    }
}

impl<T> Clone for Extension<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
