//! Hooks around each message.

use std::fmt;
use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use tower_layer::Layer;
use tracing::error;

use super::Panicked;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// Async hooks around each message, such as to ping a pool of connections before it and to reset a cache after it.
///
/// - `before` may fail, or panic. The handler does not run then, nor does `after`; the error goes on as [`BeforeFailed`], as
///   if the handler had failed. So a [`Retry`](super::Retry) around it tries again later, with a schedule of its own if you
///   like: `.on::<BeforeFailed>(Retry::fixed(…))`.
/// - `after` gets what the handler decided, and `None` if it failed. It runs also then, and when something within panicked.
///   It cannot change the result, which a panic of it does not change either.
///
/// ```
/// use swarrot_core::layer::BeforeAfter;
/// use swarrot_core::{BoxError, Delivery, Outcome};
///
/// async fn ping(_: Delivery) -> Result<(), BoxError> {
///     Ok(()) // such as `pool.ping().await?`
/// }
/// async fn reset(delivery: Delivery, outcome: Option<Outcome>) {
///     println!("{}: {outcome:?}", delivery.id());
/// }
/// let hooks = BeforeAfter::new().before(ping).after(reset);
/// ```
///
/// # Cancel safety
/// If the handler is cancelled, by the worker's stop deadline or by a [`Timeout`](super::Timeout) around this layer, `after` does
/// not run: nobody is left to wait for it. Put the timeout within, where it is an error like any other, and keep in a guard
/// with a `Drop` what has to happen in any case.
#[derive(Clone, Copy)]
pub struct BeforeAfter<B = NoBefore, A = NoAfter> {
    before: B,
    after: A,
}

/// No hook before the handler.
pub type NoBefore = fn(Delivery) -> Ready<Result<(), BoxError>>;
/// No hook after the handler.
pub type NoAfter = fn(Delivery, Option<Outcome>) -> Ready<()>;

impl BeforeAfter {
    /// Without hooks.
    pub fn new() -> Self {
        Self { before: |_| ready(Ok(())), after: |_, _| ready(()) }
    }
}

impl Default for BeforeAfter {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, A> BeforeAfter<B, A> {
    /// Runs this before each message.
    pub fn before<F, Fut, E>(self, before: F) -> BeforeAfter<F, A>
    where
        F: Fn(Delivery) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        BeforeAfter { before, after: self.after }
    }

    /// Runs this after each message that was handled, whatever the handler came to.
    pub fn after<F, Fut>(self, after: F) -> BeforeAfter<B, F>
    where
        F: Fn(Delivery, Option<Outcome>) -> Fut,
        Fut: Future<Output = ()>,
    {
        BeforeAfter { before: self.before, after }
    }
}

impl<B, A> fmt::Debug for BeforeAfter<B, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeforeAfter")
    }
}

impl<H, B: Clone, A: Clone> Layer<H> for BeforeAfter<B, A> {
    type Service = BeforeAfterHandler<H, B, A>;

    fn layer(&self, inner: H) -> BeforeAfterHandler<H, B, A> {
        BeforeAfterHandler { inner, hooks: BeforeAfter { before: self.before.clone(), after: self.after.clone() } }
    }
}

/// A handler with the hooks of [`BeforeAfter`] around it.
#[derive(Clone, Debug)]
pub struct BeforeAfterHandler<H, B, A> {
    inner: H,
    hooks: BeforeAfter<B, A>,
}

impl<H, B, A, BeforeFut, AfterFut, E> Handler for BeforeAfterHandler<H, B, A>
where
    H: Handler,
    B: Fn(Delivery) -> BeforeFut + Send + Sync + 'static,
    BeforeFut: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError> + Send,
    A: Fn(Delivery, Option<Outcome>) -> AfterFut + Send + Sync + 'static,
    AfterFut: Future<Output = ()> + Send,
{
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        let BeforeAfter { before, after } = &self.hooks;
        // Called within their futures: each may panic before its first await.
        let ready = AssertUnwindSafe(async { before(delivery.clone()).await }).catch_unwind().await;
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(BeforeFailed(error.into()).into()),
            Err(panic) => return Err(BeforeFailed(Panicked::of(&*panic).into()).into()),
        }
        // A handler's panic is an error already; this is for layers in between.
        let handled = AssertUnwindSafe(async { self.inner.handle(delivery.clone()).await }).catch_unwind().await;
        let outcome = handled.as_ref().ok().and_then(|result| result.as_ref().ok()).cloned();
        let done = AssertUnwindSafe(async { after(delivery.clone(), outcome).await }).catch_unwind().await;
        if let Err(panic) = done {
            let (queue, id, panic) = (delivery.queue(), delivery.id(), Panicked::of(&*panic));
            error!(queue, id, panic = panic.text(), "the hook after the handler panicked");
        }
        handled.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The hook before the handler failed, and the handler did not run.
#[derive(Debug, thiserror::Error)]
#[error("the hook before the handler failed")]
pub struct BeforeFailed(#[source] BoxError);
