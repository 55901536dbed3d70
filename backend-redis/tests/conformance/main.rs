//! The conformance suite: on one server, through a proxy that breaks connections, and on a cluster.

mod servers;

use std::sync::Arc;
use std::time::Duration;

use swarrot_conformance::{Faults, FaultyBroker, Harness, conformance_tests};
use swarrot_core::{BoxError, Broker, BrokerUrl, Capabilities, async_trait};
use swarrot_redis::RedisBroker;

use self::servers::{Breakable, Servers};

conformance_tests!(
    Redis { name: "redis", servers: Servers::direct },
    Redis { name: "redis-proxy", servers: Servers::proxied },
    Redis { name: CLUSTER, servers: Servers::cluster },
);

const CLUSTER: &str = "redis-cluster";

/// Long enough for cases that hold deliveries without extending them, on a busy machine; short enough to wait for.
const LEASE: Duration = Duration::from_secs(6);

/// Redis, reached in one way or another.
struct Redis {
    name: &'static str,
    /// Started when they are needed, and shared by all cases.
    servers: fn() -> &'static Servers,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) async fn connect(url: &str) -> Result<Arc<dyn Broker>, BoxError> {
    let url: BrokerUrl = format!("{url}?lease={}s", LEASE.as_secs()).parse()?;
    Ok(Arc::new(RedisBroker::connect(&url).await?))
}

#[async_trait]
impl Harness for Redis {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = RedisBroker::capabilities_with(Some(LEASE));
        can.list = self.name != CLUSTER;
        can
    }

    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        connect(&(self.servers)().url).await
    }

    async fn raw_publish(&self, queue: &str, body: &[u8]) -> Result<(), BoxError> {
        let mut add = redis::cmd("XADD");
        // The one field of another program, called as it likes.
        add.arg(format!("swarrot:{{{queue}}}:stream")).arg("NOMKSTREAM").arg("*").arg("päyload").arg(body);
        (self.servers)().run(&add).await.map(drop)
    }

    fn faults(&self) -> Faults {
        (self.servers)().faults
    }

    async fn faulty(&self) -> Result<Arc<dyn FaultyBroker>, BoxError> {
        let breakable = Breakable::whole((self.servers)()).await?;
        Ok(Arc::new(breakable))
    }
}
