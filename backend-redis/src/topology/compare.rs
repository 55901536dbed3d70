//! How what there is differs from what a topology asks for.

use swarrot_core::Result;
use swarrot_core::topology::{Comparison, Part, PartState, Topology};

use super::declare::stored;
use super::spec::{Spec, kind_name, other_kind};
use crate::broker::Core;

/// Compares a topology with what there is.
pub(crate) async fn compare(core: &Core, topology: &Topology) -> Result<Vec<Comparison>> {
    let specs = Spec::of(topology)?;
    let routes = core.router.refresh(&core.settle).await?;
    let mut parts = Vec::new();
    for exchange in &topology.exchanges {
        let declared = kind_name(exchange.kind).map_err(|error| error.with_target(&exchange.name))?;
        let state = match routes.kind(&exchange.name) {
            None => PartState::Missing,
            Some(kind) if kind == declared => PartState::Same,
            Some(kind) => PartState::Different(vec![other_kind(kind, declared)]),
        };
        parts.push(Comparison::new(Part::Exchange(exchange.name.clone()), state));
    }
    for spec in specs {
        let stored = stored(core, &spec.name).await?;
        let state = if stored.is_empty() {
            PartState::Missing
        } else {
            let differences = if spec.implied { Vec::new() } else { spec.differences(&stored) };
            if differences.is_empty() { PartState::Same } else { PartState::Different(differences) }
        };
        let part = if spec.implied { Part::DeadLetterQueue(spec.name) } else { Part::Queue(spec.name) };
        parts.push(Comparison::new(part, state));
    }
    for binding in &topology.bindings {
        let there = routes.has_binding(&binding.exchange, &binding.queue, &binding.routing_key);
        let state = if there { PartState::Same } else { PartState::Missing };
        parts.push(Comparison::new(Part::Binding(binding.clone()), state));
    }
    Ok(parts)
}
