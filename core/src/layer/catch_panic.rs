//! A panic in a handler, as an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// A handler whose panics are errors of the type [`Panicked`], so that the layers around it treat them like any other.
///
/// The worker puts it around every handler, innermost: nothing is to be added for that. A panic of a layer is caught by the
/// worker itself. It has no effect in a program that is built with `panic = "abort"`.
#[derive(Clone, Debug)]
pub struct CatchPanic<H>(H);

impl<H> CatchPanic<H> {
    pub(crate) fn new(inner: H) -> Self {
        Self(inner)
    }
}

impl<H: Handler> Handler for CatchPanic<H> {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        // Called within the future: a handler may panic before its first await.
        let call = AssertUnwindSafe(async { self.0.handle(delivery).await });
        call.catch_unwind().await.unwrap_or_else(|panic| Err(Panicked::of(&*panic).into()))
    }
}

/// A handler panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler panicked: {0}")]
pub struct Panicked(String);

impl Panicked {
    /// What was caught.
    pub(crate) fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("no message").to_owned())
    }

    /// What this comes to, or its panic. Only for code that leaves nothing of ours half done.
    pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Self> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Self::of(&*panic))
    }

    /// The panic's own words.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
