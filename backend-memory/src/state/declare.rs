//! How queues and exchanges come and go.

use std::collections::HashMap;
use std::sync::Arc;

use swarrot_core::topology::{ExchangeKind, Topology};
use swarrot_core::{Error, ErrorKind, Result, topology as spec};

use super::State;
use super::queue::Queue;
use super::routing::Exchange;
use crate::error;
use crate::topology::{Origin, check_equal, check_equal_exchange, queues};

impl State {
    /// Declares all of a topology, or nothing of it.
    pub(crate) fn declare(&mut self, topology: &Topology) -> Result<()> {
        let queues = queues(topology)?;
        let new_exchanges = self.check_exchanges(topology)?;
        let new_queues = self.check_queues(&queues)?;
        for binding in &topology.bindings {
            let (exchange, queue) = (binding.exchange.as_str(), binding.queue.as_str());
            if exchange.is_empty() {
                let message = "the default exchange has no bindings: it routes to each queue by its name";
                return Err(error::invalid(message).with_target(queue));
            }
            if !self.exchanges.contains_key(exchange) && !new_exchanges.contains_key(exchange) {
                return Err(error::exchange_not_found(exchange));
            }
            if !self.queues.contains_key(queue) && !new_queues.contains_key(queue) {
                return Err(error::queue_not_found(queue));
            }
        }
        // Nothing can fail from here on.
        for (name, kind) in new_exchanges {
            self.exchanges.insert(name.to_owned(), Exchange::new(kind));
        }
        for spec in new_queues.into_values() {
            let queue = Queue::new(spec.clone());
            self.queues.insert(Arc::clone(&queue.name), queue);
        }
        for binding in &topology.bindings {
            let queue = self.queues.get(binding.queue.as_str()).map(|queue| &queue.name);
            if let (Some(queue), Some(exchange)) = (queue, self.exchanges.get_mut(&binding.exchange)) {
                exchange.bind(queue, binding);
            }
        }
        Ok(())
    }

    /// Checks that all of a topology exists as it is described, and creates nothing.
    pub(crate) fn verify(&self, topology: &Topology) -> Result<()> {
        let queues = queues(topology)?;
        if let Some(missing) = self.check_exchanges(topology)?.into_keys().next() {
            return Err(error::exchange_not_found(missing));
        }
        if let Some(missing) = self.check_queues(&queues)?.into_keys().next() {
            return Err(error::queue_not_found(missing));
        }
        match topology.bindings.iter().find(|b| !self.exchanges.get(&b.exchange).is_some_and(|e| e.has(b))) {
            None => Ok(()),
            Some(missing) => {
                let message = format!("no binding from {:?} by the key {:?}", missing.exchange, missing.routing_key);
                Err(Error::new(ErrorKind::NotFound, message).with_target(&missing.queue))
            }
        }
    }

    fn check_exchanges<'a>(&self, topology: &'a Topology) -> Result<HashMap<&'a str, ExchangeKind>> {
        let mut new = HashMap::new();
        for exchange in &topology.exchanges {
            if !matches!(exchange.kind, ExchangeKind::Direct | ExchangeKind::Topic | ExchangeKind::Fanout) {
                let message = format!("a memory broker has no exchanges of the kind {:?}", exchange.kind);
                return Err(Error::new(ErrorKind::Unsupported, message).with_target(&exchange.name));
            }
            let existing = self.exchanges.get(&exchange.name).map(|e| e.kind);
            match existing.or_else(|| new.get(exchange.name.as_str()).copied()) {
                Some(existing) => check_equal_exchange(existing, exchange)?,
                None => drop(new.insert(exchange.name.as_str(), exchange.kind)),
            }
        }
        Ok(new)
    }

    fn check_queues<'a>(&self, queues: &'a [(spec::Queue, Origin)]) -> Result<HashMap<&'a str, &'a spec::Queue>> {
        let mut new: HashMap<&str, &spec::Queue> = HashMap::new();
        for (queue, origin) in queues {
            let existing = self.queues.get(queue.name.as_str()).map(|q| &q.spec);
            match existing.or_else(|| new.get(queue.name.as_str()).copied()) {
                Some(_) if *origin == Origin::Implied => {}
                Some(existing) => check_equal(existing, queue)?,
                None => drop(new.insert(&queue.name, queue)),
            }
        }
        Ok(new)
    }

    /// Deletes a queue with its messages and bindings, if it exists.
    pub(crate) fn delete(&mut self, name: &str) {
        let Some(mut queue) = self.queues.remove(name) else { return };
        self.counts.purged += queue.total() as u64;
        for unsettled in queue.unsettled.values().filter(|u| !u.ack_lost) {
            if let Some(member) = self.members.get_mut(&unsettled.provider) {
                member.held -= 1;
            }
        }
        queue.waiters.notify_all();
        self.exchanges.values_mut().for_each(|exchange| exchange.unbind_all(name));
        self.idle.notify_waiters();
    }
}
