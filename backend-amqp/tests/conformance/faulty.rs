//! A server that breaks on demand, behind a proxy.

use std::fmt;
use std::sync::Arc;

use swarrot_amqp::AmqpBroker;
use swarrot_conformance::FaultyBroker;
use swarrot_conformance::brokers::{BrokerError, RabbitMq};
use swarrot_conformance::proxy::{Direction, Proxy};
use swarrot_core::topology::QueueKind;
use swarrot_core::{BoxError, Broker, async_trait};
use tokio::task::spawn_blocking;

use crate::server::fragile;

pub(crate) struct Node {
    server: &'static RabbitMq,
    proxy: Proxy,
}

impl Node {
    /// The server for this kind of queue, running and not blocked, behind a proxy of its own.
    pub(crate) async fn whole(kind: QueueKind) -> Result<Self, BoxError> {
        let server = spawn_blocking(move || {
            let server = fragile(kind);
            if server.pid().is_none() {
                server.restart()?;
            }
            server.set_memory_alarm(false)?;
            Ok::<_, BrokerError>(server)
        })
        .await??;
        Ok(Self { server, proxy: Proxy::start(server.addr()).await? })
    }

    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&RabbitMq) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BoxError> {
        let server = self.server;
        Ok(spawn_blocking(move || act(server)).await??)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.proxy.addr())
    }
}

#[async_trait]
impl FaultyBroker for Node {
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        let url = format!("amqp://guest:guest@{}/", self.proxy.addr());
        Ok(Arc::new(AmqpBroker::connect(&url.parse()?).await?))
    }

    async fn cut(&self) -> Result<(), BoxError> {
        self.proxy.refuse(true).await?;
        self.proxy.cut().await;
        Ok(())
    }

    async fn freeze(&self) -> Result<(), BoxError> {
        self.proxy.freeze(Direction::ToServer);
        self.proxy.freeze(Direction::ToClient);
        Ok(())
    }

    async fn heal(&self) -> Result<(), BoxError> {
        self.proxy.thaw();
        Ok(self.proxy.refuse(false).await?)
    }

    async fn kill(&self) -> Result<(), BoxError> {
        self.act(RabbitMq::kill).await
    }

    async fn restart(&self) -> Result<(), BoxError> {
        self.act(RabbitMq::restart).await
    }

    async fn block(&self) -> Result<(), BoxError> {
        self.act(|node| node.set_memory_alarm(true)).await
    }

    async fn unblock(&self) -> Result<(), BoxError> {
        self.act(|node| node.set_memory_alarm(false)).await
    }

    async fn close_all_connections(&self) -> Result<(), BoxError> {
        self.act(|node| node.ctl(&["close_all_connections", "conformance"]).map(drop)).await
    }

    async fn connections(&self) -> Result<Option<usize>, BoxError> {
        Ok(usize::try_from(self.proxy.counters().open).ok())
    }

    async fn delay_objects(&self) -> Result<Option<usize>, BoxError> {
        let names = self.act(|node| node.ctl(&["list_queues", "name"])).await?;
        Ok(Some(names.lines().filter(|name| name.starts_with("swarrot.delay.")).count()))
    }
}
