//! Which queues get a message.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use swarrot_core::Result;
use swarrot_core::topology::{CompiledPattern, check_name};
use tokio::time::Instant;

use super::keys::TopologyKeys;
use crate::config::{Config, Mode};
use crate::connection::Link;
use crate::error;
use crate::scripts;

/// How old the topology may be by which messages are routed in a cluster. On one server it is never old: each publish checks
/// its version. In a cluster it is on another node, as a rule.
const MAX_AGE: Duration = Duration::from_secs(1);

/// All exchanges and bindings, as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) version: String,
    exchanges: HashMap<String, Exchange>,
}

#[derive(Debug)]
struct Exchange {
    kind: String,
    bindings: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    queue: Arc<str>,
    key: String,
    pattern: CompiledPattern,
}

impl Routes {
    fn new((version, kinds, bindings): (String, HashMap<String, String>, Vec<String>)) -> Self {
        let mut exchanges: HashMap<_, _> =
            kinds.into_iter().map(|(name, kind)| (name, Exchange { kind, bindings: Vec::new() })).collect();
        let mut queues: HashMap<String, Arc<str>> = HashMap::new();
        for binding in bindings {
            let mut parts = binding.splitn(3, '\n');
            let (Some(exchange), Some(queue), Some(key)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let Some(exchange) = exchanges.get_mut(exchange) else { continue };
            let queue = Arc::clone(queues.entry(queue.to_owned()).or_insert_with(|| queue.into()));
            let pattern = CompiledPattern::new(key);
            exchange.bindings.push(Bound { queue, key: key.to_owned(), pattern });
        }
        Self { version, exchanges }
    }

    /// The queues that get a message, each once; none if it cannot be routed.
    ///
    /// # Errors
    /// `NotFound` if there is no such exchange.
    pub(crate) fn route(&self, exchange: &str, key: &str) -> Result<Vec<Arc<str>>> {
        if exchange.is_empty() {
            return Ok(if check_name(key).is_ok() { vec![key.into()] } else { Vec::new() });
        }
        let exchange = self.exchanges.get(exchange).ok_or_else(|| error::exchange_not_found(exchange))?;
        let matches = |bound: &&Bound| match exchange.kind.as_str() {
            "direct" => bound.key == key,
            "topic" => bound.pattern.matches(key),
            _ => true,
        };
        let mut queues: Vec<Arc<str>> =
            exchange.bindings.iter().filter(matches).map(|b| Arc::clone(&b.queue)).collect();
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }

    /// Whether there is this exchange, of this kind if one is named.
    pub(super) fn has_exchange(&self, name: &str, kind: &str) -> bool {
        self.kind(name) == Some(kind)
    }

    /// The kind of an exchange, if there is one.
    pub(super) fn kind(&self, exchange: &str) -> Option<&str> {
        self.exchanges.get(exchange).map(|exchange| exchange.kind.as_str())
    }

    pub(super) fn has_binding(&self, exchange: &str, queue: &str, key: &str) -> bool {
        let exchange = self.exchanges.get(exchange);
        exchange.is_some_and(|exchange| exchange.bindings.iter().any(|b| *b.queue == *queue && b.key == key))
    }
}

/// Knows the topology, as fresh as it has to be.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) keys: TopologyKeys,
    cluster: bool,
    cached: RwLock<Option<(Instant, Arc<Routes>)>>,
}

impl Router {
    pub(crate) fn new(config: &Config) -> Self {
        let keys = TopologyKeys::new(&config.prefix);
        Self { keys, cluster: config.mode == Mode::Cluster, cached: RwLock::new(None) }
    }

    /// The key whose value tells whether routes are still right, for scripts that can look at it.
    pub(crate) fn version_key(&self) -> &str {
        &self.keys.version
    }

    /// The topology, and whether it may be out of date.
    pub(crate) async fn routes(&self, link: &Link) -> Result<(Arc<Routes>, bool)> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner).clone();
        match cached {
            Some((at, routes)) if !self.cluster || at.elapsed() < MAX_AGE => Ok((routes, true)),
            _ => Ok((self.refresh(link).await?, false)),
        }
    }

    /// The topology of now.
    pub(crate) async fn refresh(&self, link: &Link) -> Result<Arc<Routes>> {
        let TopologyKeys { exchanges, bindings, version } = &self.keys;
        let before = Instant::now();
        let answer = link.ask(scripts::ROUTES.key(exchanges).key(bindings).key(version)).await?;
        let routes = Arc::new(Routes::new(answer));
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some((before, Arc::clone(&routes)));
        Ok(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_once() {
        let kinds = [("t", "topic"), ("d", "direct"), ("f", "fanout")].map(|(n, k)| (n.to_owned(), k.to_owned()));
        let bindings =
            ["t\na\nuser.#", "t\na\n#.mail", "t\nb\n*", "d\na\nuser.#", "d\nb\nx\ny", "f\nb\n", "gone\na\nx"];
        let routes = Routes::new(("7".into(), kinds.into(), bindings.map(str::to_owned).into()));
        let route = |exchange, key| routes.route(exchange, key).map(|queues| queues.join(",")).map_err(|e| e.kind());
        assert_eq!(route("t", "user.mail"), Ok("a".into()));
        assert_eq!(route("t", "user"), Ok("a,b".into()));
        assert_eq!(route("d", "user.#"), Ok("a".into()));
        assert_eq!(route("d", "x\ny"), Ok("b".into()));
        assert_eq!(route("d", "user.mail"), Ok(String::new()));
        assert_eq!(route("f", "anything"), Ok("b".into()));
        assert_eq!(route("", "q"), Ok("q".into()));
        assert_eq!(route("", "no{name}"), Ok(String::new()));
        assert_eq!(route("gone", "x"), Err(swarrot_core::ErrorKind::NotFound));
    }
}
