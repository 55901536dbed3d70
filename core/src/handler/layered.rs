//! A handler with layers of its own.

use std::fmt;
use std::marker::PhantomData;

use tower_layer::{Identity, Layer, Stack};

use super::{Context, Handler, HandlerShape, IntoHandler};
use crate::error::Result;
use crate::layer::CatchPanic;

/// A handler with layers of its own, made by [`IntoHandler::layer`].
pub struct Layered<H, L, Args> {
    handler: H,
    layer: L,
    args: PhantomData<fn(Args)>,
}

impl<H, Args> Layered<H, Identity, Args> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, layer: Identity::new(), args: PhantomData }
    }
}

impl<H, L, Args> Layered<H, L, Args> {
    /// Wraps it in a layer more, inside those that were added before.
    pub fn layer<T>(self, layer: T) -> Layered<H, Stack<T, L>, Args> {
        let Self { handler, layer: outer, args } = self;
        Layered { handler, layer: Stack::new(layer, outer), args }
    }
}

/// Marks a handler with layers of its own.
#[derive(Debug)]
pub struct WithLayers<Args>(PhantomData<fn(Args)>);

impl<H: HandlerShape<Args>, L, Args> HandlerShape<WithLayers<Args>> for Layered<H, L, Args> {}

impl<H, L, Args> IntoHandler<WithLayers<Args>> for Layered<H, L, Args>
where
    H: IntoHandler<Args>,
    L: Layer<CatchPanic<H::Handler>, Service: Handler>,
{
    type Handler = L::Service;

    fn into_handler(self, context: &Context) -> Result<L::Service> {
        Ok(self.layer.layer(CatchPanic::new(self.handler.into_handler(context)?)))
    }
}

impl<H, L: fmt::Debug, Args> fmt::Debug for Layered<H, L, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layered({}, {:?})", std::any::type_name::<H>(), self.layer)
    }
}
