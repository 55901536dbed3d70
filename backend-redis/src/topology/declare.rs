//! How queues, exchanges and bindings come and go.

use std::collections::HashMap;

use redis::cmd;
use swarrot_core::topology::Topology;
use swarrot_core::{Error, ErrorKind, Result};

use super::keys::{QueueKeys, TopologyKeys, tag};
use super::spec::{Spec, conflict, kind_name, other_kind};
use crate::broker::Core;
use crate::error;
use crate::scripts;

/// Creates what is missing of a topology; with passive topology, checks that it is there.
///
/// Everything is checked before anything is created. What others declare at the same moment can still come in between; then
/// a part is created and the call says what is in conflict.
pub(crate) async fn declare(core: &Core, topology: &Topology) -> Result<()> {
    let specs = Spec::of(topology)?;
    let kinds = kinds(topology)?;
    check_queues(core, &specs).await?;
    let routes = core.router.refresh(&core.settle).await?;
    for binding in &topology.bindings {
        if binding.exchange.is_empty() {
            let message = "the default exchange has no bindings: it routes to each queue by its name";
            return Err(error::invalid(message).with_target(&binding.queue));
        }
        if !kinds.iter().any(|(name, _)| *name == binding.exchange) {
            routes.route(&binding.exchange, "")?;
        }
        if !specs.iter().any(|spec| spec.name == binding.queue) && stored(core, &binding.queue).await?.is_empty() {
            return Err(error::queue_not_found(&binding.queue));
        }
        if core.config.passive && !routes.has_binding(&binding.exchange, &binding.queue, &binding.routing_key) {
            let message = format!("it is not bound to the exchange {:?} with that key", binding.exchange);
            return Err(Error::new(ErrorKind::NotFound, message).with_target(&binding.queue));
        }
    }
    if core.config.passive {
        return match kinds.iter().find(|(name, kind)| !routes.has_exchange(name, kind)) {
            Some((name, _)) => Err(error::exchange_not_found(name)),
            None => Ok(()),
        };
    }
    // Exchanges first: their conflicts are still to be found.
    bind(core, &kinds, &[]).await?;
    for spec in &specs {
        create(core, spec).await?;
    }
    let bindings = bindings(topology);
    if !bindings.is_empty() {
        bind(core, &kinds, &bindings).await?;
    }
    Ok(())
}

/// What of a topology has to be in its place for one purpose. In a cluster a node that is away is to stop only what is on it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    All,
    /// The exchanges and bindings.
    Routes,
    /// The queues of this tag.
    Queues(&'a str),
}

/// Declares again a part of what was declared before.
pub(crate) async fn declare_again(core: &Core, topology: &Topology, scope: Scope<'_>) -> Result<()> {
    match scope {
        Scope::All => declare(core, topology).await,
        Scope::Routes => {
            let kinds = kinds(topology)?;
            bind(core, &kinds, &bindings(topology)).await
        }
        Scope::Queues(home) => {
            let mut specs = Spec::of(topology)?;
            specs.retain(|spec| tag(&spec.name) == home);
            for spec in &specs {
                create(core, spec).await?;
            }
            Ok(())
        }
    }
}

/// Deletes a queue with its messages and bindings, if it exists.
pub(crate) async fn delete(core: &Core, queue: &str) -> Result<()> {
    let QueueKeys { queue: marker, stream, wake, delayed, scan } = QueueKeys::new(&core.config.prefix, queue);
    core.settle.command::<i64>(cmd("UNLINK").arg(&[marker, stream, wake, delayed, scan])).await?;
    let TopologyKeys { bindings, version, .. } = &core.router.keys;
    core.settle.ask::<i64>(scripts::UNBIND.key(bindings).key(version).arg(queue)).await?;
    Ok(())
}

/// The kinds of a topology's exchanges, by name.
fn kinds(topology: &Topology) -> Result<Vec<(&str, &'static str)>> {
    let mut kinds: Vec<(&str, &'static str)> = Vec::new();
    for exchange in &topology.exchanges {
        let kind = kind_name(exchange.kind).map_err(|error| error.with_target(&exchange.name))?;
        if kinds.iter().any(|(name, other)| *name == exchange.name && *other != kind) {
            let message = "the topology has the exchange twice, with two kinds; leave one out";
            return Err(Error::new(ErrorKind::Conflict, message).with_target(&exchange.name));
        }
        kinds.push((&exchange.name, kind));
    }
    Ok(kinds)
}

/// A topology's bindings, as they are stored.
fn bindings(topology: &Topology) -> Vec<String> {
    topology.bindings.iter().map(|b| format!("{}\n{}\n{}", b.exchange, b.queue, b.routing_key)).collect()
}

async fn check_queues(core: &Core, specs: &[Spec]) -> Result<()> {
    for spec in specs {
        let stored = stored(core, &spec.name).await?;
        if !stored.is_empty() && !spec.implied {
            spec.check_equal(&stored)?;
        } else if stored.is_empty() && core.config.passive {
            return Err(error::queue_not_found(&spec.name));
        }
    }
    Ok(())
}

/// A queue's declaration as it is stored; empty if there is no such queue.
pub(super) async fn stored(core: &Core, queue: &str) -> Result<HashMap<String, String>> {
    let keys = QueueKeys::new(&core.config.prefix, queue);
    core.settle.command(cmd("HGETALL").arg(&keys.queue)).await
}

async fn create(core: &Core, spec: &Spec) -> Result<()> {
    let keys = QueueKeys::new(&core.config.prefix, &spec.name);
    let mut script = scripts::DECLARE.prepare_invoke();
    script.key(&keys.queue).key(&keys.stream).key(&keys.wake);
    for (name, value) in spec.fields() {
        script.arg(name).arg(value);
    }
    let before: HashMap<String, String> = core.settle.ask(&script).await?;
    if before.is_empty() || spec.implied { Ok(()) } else { spec.check_equal(&before) }
}

async fn bind(core: &Core, kinds: &[(&str, &str)], bindings: &[String]) -> Result<()> {
    let TopologyKeys { exchanges, bindings: set, version } = &core.router.keys;
    let mut script = scripts::BIND.prepare_invoke();
    script.key(exchanges).key(set).key(version).arg(kinds.len());
    for (name, kind) in kinds {
        script.arg(*name).arg(*kind);
    }
    for binding in bindings {
        script.arg(binding);
    }
    let conflicts: Vec<String> = core.settle.ask(&script).await?;
    let [name, kind, ..] = conflicts.as_slice() else { return Ok(()) };
    let declared = kinds.iter().find(|(n, _)| n == name).map_or("", |(_, kind)| kind);
    conflict("exchange", name, &[other_kind(kind, declared)])
}
