//! How what there is differs from what a topology asks for.

use swarrot_core::Result;
use swarrot_core::topology::{Comparison, Difference, Part, PartState, Topology};

use super::State;
use crate::topology::{Origin, differences, differences_of_exchange, queues};

impl State {
    /// Compares a topology with what there is.
    pub(crate) fn compare(&self, topology: &Topology) -> Result<Vec<Comparison>> {
        let mut parts = Vec::new();
        let mut add = |part, differences: Option<Vec<Difference>>| {
            let state = match differences {
                None => PartState::Missing,
                Some(none) if none.is_empty() => PartState::Same,
                Some(differences) => PartState::Different(differences),
            };
            parts.push(Comparison::new(part, state));
        };
        let queues = queues(topology)?;
        for exchange in &topology.exchanges {
            let existing = self.exchanges.get(&exchange.name);
            let differences = existing.map(|existing| differences_of_exchange(existing.kind, exchange));
            add(Part::Exchange(exchange.name.clone()), differences);
        }
        for (queue, origin) in queues {
            let existing = self.queues.get(queue.name.as_str());
            match origin {
                Origin::Declared => {
                    let differences = existing.map(|existing| differences(&existing.spec, &queue));
                    add(Part::Queue(queue.name), differences);
                }
                Origin::Implied => add(Part::DeadLetterQueue(queue.name), existing.map(|_| Vec::new())),
            }
        }
        for binding in &topology.bindings {
            let there = self.exchanges.get(&binding.exchange).is_some_and(|exchange| exchange.has(binding));
            add(Part::Binding(binding.clone()), there.then(Vec::new));
        }
        Ok(parts)
    }
}
