//! Handlers and layers whose types are known only at run time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tower_layer::Layer;

use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::outcome::Outcome;

/// A handler of any type. Clones are the same handler.
///
/// Each call allocates once, for the handler's future. Where the types are known, wrap handlers by their types instead.
#[derive(Clone)]
pub struct BoxHandler(Arc<dyn DynHandler>);

impl BoxHandler {
    /// This handler, without its type.
    pub fn new(handler: impl Handler) -> Self {
        Self(Arc::new(handler))
    }
}

impl Handler for BoxHandler {
    fn handle(&self, delivery: Delivery) -> impl Future<Output = Result<Outcome, BoxError>> + Send {
        self.0.handle_boxed(delivery)
    }
}

impl fmt::Debug for BoxHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxHandler")
    }
}

/// [`Handler`] without the type of its future.
trait DynHandler: Send + Sync {
    fn handle_boxed(&self, delivery: Delivery) -> BoxFuture<'_, Result<Outcome, BoxError>>;
}

impl<H: Handler> DynHandler for H {
    fn handle_boxed(&self, delivery: Delivery) -> BoxFuture<'_, Result<Outcome, BoxError>> {
        Box::pin(self.handle(delivery))
    }
}

/// A layer of any type, for stacks that are put together at run time. Clones are the same layer.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::{BoxLayer, BoxStack, Retry, Timeout};
///
/// let mut stack = BoxStack::new();
/// stack.push(BoxLayer::new(Retry::fixed(Duration::from_secs(30))));
/// stack.push(BoxLayer::new(Timeout::new(Duration::from_secs(5))));
/// assert_eq!(stack.len(), 2);
/// ```
#[derive(Clone)]
pub struct BoxLayer(Arc<dyn Fn(BoxHandler) -> BoxHandler + Send + Sync>);

impl BoxLayer {
    /// This layer, without its type.
    pub fn new<L>(layer: L) -> Self
    where
        L: Layer<BoxHandler, Service: Handler> + Send + Sync + 'static,
    {
        Self(Arc::new(move |inner| BoxHandler::new(layer.layer(inner))))
    }
}

impl<H: Handler> Layer<H> for BoxLayer {
    type Service = BoxHandler;

    fn layer(&self, inner: H) -> BoxHandler {
        (self.0)(BoxHandler::new(inner))
    }
}

impl fmt::Debug for BoxLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxLayer")
    }
}

/// Layers of any type, the outermost first, as one layer.
///
/// It costs one allocation a message for the handler and one for each layer.
#[derive(Clone, Debug, Default)]
pub struct BoxStack(Vec<BoxLayer>);

impl BoxStack {
    /// No layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer within those that are there.
    pub fn push(&mut self, layer: BoxLayer) {
        self.0.push(layer);
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<BoxLayer> for BoxStack {
    fn from_iter<I: IntoIterator<Item = BoxLayer>>(layers: I) -> Self {
        Self(layers.into_iter().collect())
    }
}

impl<H: Handler> Layer<H> for BoxStack {
    type Service = BoxHandler;

    fn layer(&self, inner: H) -> BoxHandler {
        self.0.iter().rev().fold(BoxHandler::new(inner), |inner, layer| (layer.0)(inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tower_layer::layer_fn;

    use super::*;
    use crate::message::Message;
    use crate::receipt::Receipt;

    struct Noting {
        inner: BoxHandler,
        name: &'static str,
        notes: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Handler for Noting {
        async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
            self.notes.lock().expect("no panic").push(self.name);
            self.inner.handle(delivery).await
        }
    }

    struct Done;

    impl Handler for Done {
        async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
            Ok(Outcome::Requeue)
        }
    }

    #[tokio::test]
    async fn the_first_layer_is_the_outermost() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let noting = |name| {
            let notes = Arc::clone(&notes);
            BoxLayer::new(layer_fn(move |inner| Noting { inner, name, notes: Arc::clone(&notes) }))
        };
        let stack: BoxStack = ["outer", "middle", "inner"].map(noting).into_iter().collect();
        let delivery = Delivery::new("q", Receipt::new(0, 0), Message::new(""));
        let outcome = stack.layer(Done).handle(delivery).await.expect("no error");
        assert_eq!(outcome, Outcome::Requeue);
        assert_eq!(*notes.lock().expect("no panic"), ["outer", "middle", "inner"]);
    }

    #[tokio::test]
    async fn an_empty_stack_is_the_handler() {
        let delivery = Delivery::new("q", Receipt::new(0, 0), Message::new(""));
        let outcome = BoxStack::new().layer(Done).handle(delivery).await.expect("no error");
        assert_eq!(outcome, Outcome::Requeue);
    }
}
