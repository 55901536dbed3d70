//! Exchanges and bindings.

use std::sync::Arc;

use swarrot_core::Result;
use swarrot_core::topology::{Binding, CompiledPattern, ExchangeKind};

use super::State;
use crate::error;

/// An exchange with its bindings.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) kind: ExchangeKind,
    bindings: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    queue: Arc<str>,
    key: String,
    pattern: CompiledPattern,
}

impl Exchange {
    pub(super) fn new(kind: ExchangeKind) -> Self {
        Self { kind, bindings: Vec::new() }
    }

    /// Adds a binding, unless it is there.
    pub(super) fn bind(&mut self, queue: &Arc<str>, binding: &Binding) {
        let key = &binding.routing_key;
        if !self.has(binding) {
            let pattern = CompiledPattern::new(key);
            self.bindings.push(Bound { queue: Arc::clone(queue), key: key.clone(), pattern });
        }
    }

    pub(super) fn has(&self, binding: &Binding) -> bool {
        self.bindings.iter().any(|b| *b.queue == *binding.queue && b.key == binding.routing_key)
    }

    pub(super) fn unbind_all(&mut self, queue: &str) {
        self.bindings.retain(|b| *b.queue != *queue);
    }

    /// The queues that get a message with this key, each once.
    fn route(&self, key: &str) -> Vec<Arc<str>> {
        let matches = |bound: &&Bound| match self.kind {
            ExchangeKind::Direct => bound.key == key,
            ExchangeKind::Topic => bound.pattern.matches(key),
            // A kind that this backend does not know is refused when it is declared.
            _ => true,
        };
        let mut queues = Vec::new();
        for bound in self.bindings.iter().filter(matches) {
            if !queues.contains(&bound.queue) {
                queues.push(Arc::clone(&bound.queue));
            }
        }
        queues
    }
}

impl State {
    pub(crate) fn check_exchange(&self, exchange: &str) -> Result<()> {
        if exchange.is_empty() || self.exchanges.contains_key(exchange) {
            Ok(())
        } else {
            Err(error::exchange_not_found(exchange))
        }
    }

    /// The queues that get a message; at least one.
    pub(super) fn route(&self, exchange: &str, key: &str) -> Result<Vec<Arc<str>>> {
        let queues: Vec<Arc<str>> = if exchange.is_empty() {
            self.queues.get(key).map(|queue| Arc::clone(&queue.name)).into_iter().collect()
        } else {
            self.exchanges.get(exchange).ok_or_else(|| error::exchange_not_found(exchange))?.route(key)
        };
        if queues.is_empty() { Err(error::unroutable(exchange, key)) } else { Ok(queues) }
    }
}
