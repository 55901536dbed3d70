//! Bridges between handlers and layers of ours and services and layers of tower.
//!
//! A tower service for deliveries takes a [`Delivery`] and answers with an [`Outcome`]. [`TowerLayer`] puts a layer of
//! tower's around a handler, [`HandlerService`] makes a service of a handler, and [`ServiceHandler`] makes a handler of
//! a service.
//!
//! Our own layers need no bridge: they are [`tower_layer::Layer`]s already, so that `tower::ServiceBuilder` and tuples of
//! them are layers too. The first one added is the outermost, in all three.
//!
//! ```
//! # fn main() -> Result<(), swarrot_core::BoxError> {
//! use std::time::Duration;
//! use swarrot_core::tower::TowerLayer;
//! use swarrot_core::{Context, IntoHandler};
//! use tower::limit::ConcurrencyLimitLayer;
//!
//! async fn send(text: String) {}
//!
//! // At most two at once, whatever the worker's concurrency is.
//! let handler = send.layer(TowerLayer::new(ConcurrencyLimitLayer::new(2)));
//! // worker.run(handler)
//! # handler.into_handler(&Context::new())?;
//! # Ok(())
//! # }
//! ```

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::{Handler, IntoOutcome};
use crate::outcome::Outcome;

/// A layer of tower's, such as `tower::timeout::TimeoutLayer`, as a layer around a handler.
///
/// An error of the layer, such as tower's `Elapsed` or `Overloaded`, is an error like the handler's own: it is for the
/// layers further out, or parks the message. A layer that waits in `poll_ready`, such as a concurrency limit, keeps the
/// worker's slot waiting.
///
/// The service that the layer makes is cloned for each delivery, which is what services of tower are made for. Each
/// delivery costs one allocation, the future of [`HandlerService`], beside those of the layer.
#[derive(Clone, Copy, Debug)]
pub struct TowerLayer<L>(L);

impl<L> TowerLayer<L> {
    /// This layer of tower's, or a whole `tower::ServiceBuilder`.
    pub fn new(layer: L) -> Self {
        Self(layer)
    }
}

impl<L, H> Layer<H> for TowerLayer<L>
where
    L: Layer<HandlerService<H>>,
{
    type Service = ServiceHandler<L::Service>;

    fn layer(&self, inner: H) -> Self::Service {
        ServiceHandler::new(self.0.layer(HandlerService::new(inner)))
    }
}

/// A handler as a `tower::Service` of deliveries. Clones share the handler.
///
/// ```
/// use swarrot_core::tower::HandlerService;
/// use swarrot_core::{Context, Delivery, IntoHandler, Message, Outcome, Receipt};
/// use tower::ServiceExt;
///
/// async fn send(text: String) {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), swarrot_core::BoxError> {
/// let service = HandlerService::new(send.into_handler(&Context::new())?);
/// let delivery = Delivery::new("mails", Receipt::new(0, 1), Message::new("hello"));
/// assert_eq!(service.oneshot(delivery).await?, Outcome::Ack);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HandlerService<H>(Arc<H>);

impl<H> HandlerService<H> {
    /// This handler.
    pub fn new(handler: H) -> Self {
        Self(Arc::new(handler))
    }
}

impl<H> Clone for HandlerService<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> Service<Delivery> for HandlerService<H> {
    type Response = Outcome;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Outcome, BoxError>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        let handler = Arc::clone(&self.0);
        async move { handler.handle(delivery).await }.boxed()
    }
}

/// A `tower::Service` of deliveries as a handler.
///
/// The service is cloned for each delivery; a clone waits until it is ready, and is called then. A service that is not
/// `Sync` becomes so by `tower::buffer::Buffer` or `tower::util::BoxCloneSyncService`.
#[derive(Clone, Debug)]
pub struct ServiceHandler<S>(S);

impl<S> ServiceHandler<S> {
    /// This service.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S> Handler for ServiceHandler<S>
where
    S: Service<Delivery, Response: IntoOutcome, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
{
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        // A service that is ready is so for the one call that follows: each delivery needs its own.
        let mut service = self.0.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
        service.call(delivery).await.map_err(Into::into)?.into_outcome()
    }
}
