//! Several handlers on one queue, chosen by what kind of message it is.

mod erased;
mod routes;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use tower_layer::{Identity, Layer, Stack};

use self::erased::{Erased, Unbound};
pub use self::routes::Routes;
use crate::error::Result;
use crate::handler::{Context, Handler, HandlerShape, IntoHandler};
use crate::layer::CatchPanic;
use crate::topology::CompiledPattern;

/// Hands each delivery to the handler that its message type or routing key asks for.
///
/// The message's type is looked at first ([`Properties::message_type`](crate::Properties::message_type)), then its routing
/// key: routes for exactly this key, then patterns in the order in which they were added. What has no route goes to the
/// [`fallback`](Self::fallback); without one it is an error marked [`Permanent`](crate::Permanent) that names type and key, so
/// that the message is parked.
///
/// ```
/// use std::time::Duration;
/// use swarrot_core::layer::Timeout;
/// use swarrot_core::{Delivery, IntoHandler, Outcome, Router, State};
///
/// struct Mailer;
///
/// async fn reset(address: String, State(mailer): State<Mailer>) {}
/// async fn resize(image: String) {}
/// async fn audit(delivery: Delivery) {}
///
/// let router = Router::new()
///     .message_type("password.reset", reset)
///     .message_type("image.resize", resize.layer(Timeout::new(Duration::from_secs(60)))) // for this route alone
///     .routing_key("audit.#", audit)
///     .fallback(async |delivery: Delivery| Outcome::reject(format!("what is {:?}?", delivery.routing_key())))
///     .layer(Timeout::new(Duration::from_secs(600))); // around all of them
/// // worker.state(Mailer).run(router)
/// ```
///
/// A route may be another router, with layers and a fallback of its own. A worker that lacks the `State` of any route does
/// not start.
///
/// A retried message keeps its type and the key by which it was published first, and so finds the same route.
///
/// # Cost
/// Routes are handlers of different types behind one pointer type: each delivery costs one look-up and one allocation, the
/// future of its route, for each router that it passes. Layers around a router, and those of a route, are static.
pub struct Router<L = Identity> {
    types: HashMap<String, Unbound>,
    keys: HashMap<String, Unbound>,
    patterns: Vec<(String, CompiledPattern, Unbound)>,
    fallback: Option<Unbound>,
    layer: L,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self {
            types: HashMap::new(),
            keys: HashMap::new(),
            patterns: Vec::new(),
            fallback: None,
            layer: Identity::new(),
        }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> Router<L> {
    /// Adds a route for messages of this type.
    ///
    /// # Panics
    /// If there is one already.
    #[track_caller]
    pub fn message_type<H, Args>(mut self, message_type: impl Into<String>, handler: H) -> Self
    where
        H: HandlerShape<Args> + IntoHandler<Args> + Send + 'static,
    {
        match self.types.entry(message_type.into()) {
            Entry::Occupied(taken) => panic!("there are two routes for the message type {:?}", taken.key()),
            Entry::Vacant(free) => free.insert(erased::unbound(handler)),
        };
        self
    }

    /// Adds a route for messages whose routing key matches this pattern, as topic exchanges match: words separated by dots,
    /// `*` for exactly one word, `#` for any number of words.
    ///
    /// # Panics
    /// If this route can never be reached, because one that was added before takes all that it matches.
    #[track_caller]
    pub fn routing_key<H, Args>(mut self, pattern: impl Into<String>, handler: H) -> Self
    where
        H: HandlerShape<Args> + IntoHandler<Args> + Send + 'static,
    {
        let pattern = pattern.into();
        let compiled = CompiledPattern::new(&pattern);
        if let Some((earlier, ..)) = self.patterns.iter().find(|(_, earlier, _)| earlier.covers(&compiled)) {
            assert!(*earlier != pattern, "there are two routes for the routing key {pattern:?}");
            // A key without wildcards is looked at before all patterns.
            assert!(
                compiled.is_exact(),
                "the route for {pattern:?} can never be reached: {earlier:?}, added before it, takes all that it matches; add it first"
            );
        }
        if compiled.is_exact() {
            match self.keys.entry(pattern) {
                Entry::Occupied(taken) => panic!("there are two routes for the routing key {:?}", taken.key()),
                Entry::Vacant(free) => free.insert(erased::unbound(handler)),
            };
        } else {
            self.patterns.push((pattern, compiled, erased::unbound(handler)));
        }
        self
    }

    /// Sets the handler for what has no route.
    ///
    /// # Panics
    /// If there is one already.
    #[track_caller]
    pub fn fallback<H, Args>(mut self, handler: H) -> Self
    where
        H: HandlerShape<Args> + IntoHandler<Args> + Send + 'static,
    {
        assert!(self.fallback.is_none(), "there are two fallbacks");
        self.fallback = Some(erased::unbound(handler));
        self
    }

    /// Wraps all routes and the fallback, those added later too, in a layer. The layer added first is the outermost.
    pub fn layer<T>(self, layer: T) -> Router<Stack<T, L>> {
        let Self { types, keys, patterns, fallback, layer: outer } = self;
        Router { types, keys, patterns, fallback, layer: Stack::new(layer, outer) }
    }

    /// Binds every route, and says which one lacks something.
    fn bind(self, context: &Context) -> Result<(Routes, L)> {
        let bind = |route: &str, unbound: Unbound| -> Result<Erased> {
            unbound(context).map_err(|error| error.with_operation("route").with_target(route))
        };
        let by_name = |routes: HashMap<String, Unbound>| -> Result<HashMap<String, Erased>> {
            routes.into_iter().map(|(name, unbound)| bind(&name, unbound).map(|bound| (name, bound))).collect()
        };
        let patterns = self.patterns.into_iter().map(|(name, pattern, unbound)| Ok((pattern, bind(&name, unbound)?)));
        let routes = Routes {
            types: by_name(self.types)?,
            keys: by_name(self.keys)?,
            patterns: patterns.collect::<Result<_>>()?,
            fallback: self.fallback.map(|unbound| bind("fallback", unbound)).transpose()?,
        };
        Ok((routes, self.layer))
    }
}

/// Marks a router.
#[derive(Debug)]
pub struct ByRoute;

impl<L> HandlerShape<ByRoute> for Router<L> {}

impl<L> IntoHandler<ByRoute> for Router<L>
where
    L: Layer<CatchPanic<Routes>, Service: Handler>,
{
    type Handler = L::Service;

    fn into_handler(self, context: &Context) -> Result<L::Service> {
        let (routes, layer) = self.bind(context)?;
        Ok(layer.layer(CatchPanic::new(routes)))
    }
}

impl<L> fmt::Debug for Router<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys: Vec<&str> = self.keys.keys().map(String::as_str).collect();
        keys.extend(self.patterns.iter().map(|(pattern, ..)| pattern.as_str()));
        f.debug_struct("Router")
            .field("types", &self.types.keys())
            .field("keys", &keys)
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}
