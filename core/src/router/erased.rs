//! Handlers of different types behind one.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::delivery::Delivery;
use crate::error::{BoxError, Result};
use crate::handler::{Context, Handler, IntoHandler};
use crate::outcome::Outcome;

/// A handler, whatever its type.
pub(super) type Erased = Arc<dyn DynHandler>;

/// A handler that is not yet bound to a worker's context.
pub(super) type Unbound = Box<dyn FnOnce(&Context) -> Result<Erased> + Send>;

/// A handler whose future is boxed.
pub(super) trait DynHandler: Send + Sync {
    fn call(&self, delivery: Delivery) -> BoxFuture<'_, Result<Outcome, BoxError>>;
}

impl<H: Handler> DynHandler for H {
    fn call(&self, delivery: Delivery) -> BoxFuture<'_, Result<Outcome, BoxError>> {
        self.handle(delivery).boxed()
    }
}

pub(super) fn unbound<H, Args>(handler: H) -> Unbound
where
    H: IntoHandler<Args> + Send + 'static,
{
    Box::new(|context| Ok(Arc::new(handler.into_handler(context)?)))
}
