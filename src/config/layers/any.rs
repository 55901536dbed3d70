//! A layer as a file makes it.

use std::fmt;
use std::sync::Arc;

use swarrot_core::layer::{BoxHandler, BoxLayer};
use swarrot_core::{Handler, MessagePublisher};
use tower_layer::Layer;

/// A layer of any type, as [`LayerOptions`](super::LayerOptions) make it.
#[derive(Clone)]
pub struct AnyLayer(Made);

#[derive(Clone)]
enum Made {
    Once(BoxLayer),
    ForEach(Arc<Make>),
}

type Make = dyn Fn(Arc<dyn MessagePublisher>) -> BoxLayer + Send + Sync;

impl AnyLayer {
    /// This layer. Workers that are made from the same place of a file share it.
    pub fn new<L>(layer: L) -> Self
    where
        L: Layer<BoxHandler, Service: Handler> + Send + Sync + 'static,
    {
        Self(Made::Once(BoxLayer::new(layer)))
    }

    /// A layer that publishes: it is made for each worker, with a publisher to the default exchange of its broker.
    pub fn publishing<L>(make: impl Fn(Arc<dyn MessagePublisher>) -> L + Send + Sync + 'static) -> Self
    where
        L: Layer<BoxHandler, Service: Handler> + Send + Sync + 'static,
    {
        Self(Made::ForEach(Arc::new(move |publisher| BoxLayer::new(make(publisher)))))
    }

    /// The layer for one worker; `publisher` makes the publisher, if it needs one.
    ///
    /// # Errors
    /// That of `publisher`.
    pub(in crate::config) async fn make<F>(&self, publisher: impl FnOnce() -> F) -> swarrot_core::Result<BoxLayer>
    where
        F: Future<Output = swarrot_core::Result<Arc<dyn MessagePublisher>>>,
    {
        match &self.0 {
            Made::Once(layer) => Ok(layer.clone()),
            Made::ForEach(make) => publisher().await.map(|publisher| make(publisher)),
        }
    }
}

impl fmt::Debug for AnyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyLayer")
    }
}
