//! Finding the route of a delivery.

use std::collections::HashMap;
use std::fmt;

use super::erased::Erased;
use crate::delivery::Delivery;
use crate::error::{BoxError, Error, ErrorKind};
use crate::handler::Handler;
use crate::marks::Permanent;
use crate::outcome::Outcome;
use crate::topology::CompiledPattern;

/// The routes of a [`Router`](super::Router), bound to a worker's context: what layers around a router wrap.
pub struct Routes {
    pub(super) types: HashMap<String, Erased>,
    pub(super) keys: HashMap<String, Erased>,
    pub(super) patterns: Vec<(CompiledPattern, Erased)>,
    pub(super) fallback: Option<Erased>,
}

impl Routes {
    fn of(&self, delivery: &Delivery) -> Option<&Erased> {
        let by_type = || self.types.get(delivery.message().properties.message_type.as_deref()?);
        let key = delivery.routing_key();
        let by_pattern = || self.patterns.iter().find(|(pattern, _)| pattern.matches(key)).map(|(_, route)| route);
        by_type().or_else(|| self.keys.get(key)).or_else(by_pattern).or(self.fallback.as_ref())
    }
}

impl Handler for Routes {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        match self.of(&delivery) {
            Some(route) => route.call(delivery).await,
            None => Err(no_route(&delivery)),
        }
    }
}

/// Permanent: a retry finds no route either.
fn no_route(delivery: &Delivery) -> BoxError {
    let key = delivery.routing_key();
    let what = match delivery.message().properties.message_type.as_deref() {
        Some(name) => format!("no route for message type {name:?} and routing key {key:?}; add one, or a fallback"),
        None => format!("no route for routing key {key:?}, and the message has no type; add one, or a fallback"),
    };
    Permanent::new(Error::new(ErrorKind::NotFound, what)).into()
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("types", &self.types.len())
            .field("keys", &(self.keys.len() + self.patterns.len()))
            .finish_non_exhaustive()
    }
}
