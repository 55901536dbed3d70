//! A broker of a file: connected once, declared once.

use std::sync::Arc;

use swarrot_core::topology::Topology;
use swarrot_core::{Broker, BrokerUrl, Result};
use tokio::sync::OnceCell;

use super::file::{Declare, TopologyTable};
use crate::connect::connect_to;

/// A broker of a file.
pub(super) struct ConfiguredBroker {
    url: BrokerUrl,
    topology: Topology,
    declares: bool,
    connection: OnceCell<Arc<dyn Broker>>,
    declared: OnceCell<()>,
}

impl ConfiguredBroker {
    pub(super) fn new(mut url: BrokerUrl, table: Option<TopologyTable>) -> Self {
        let TopologyTable { declare, topology } =
            table.unwrap_or_else(|| TopologyTable { declare: None, topology: Topology::new() });
        let declare = declare.unwrap_or_default();
        if declare == Declare::Verify {
            // A backend reads the last one.
            url.query.push(("topology".to_owned(), "passive".to_owned()));
        }
        let declares = declare != Declare::No;
        Self { url, topology, declares, connection: OnceCell::new(), declared: OnceCell::new() }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The connection, made the first time. Of several calls at once one connects, and the others wait for it.
    pub(super) async fn connect(&self) -> Result<Arc<dyn Broker>> {
        self.connection.get_or_try_init(|| connect_to(&self.url)).await.map(Arc::clone)
    }

    /// The connection, with its topology declared.
    pub(super) async fn ready(&self) -> Result<Arc<dyn Broker>> {
        let broker = self.connect().await?;
        if self.declares {
            self.declared.get_or_try_init(|| broker.declare(&self.topology)).await?;
        }
        Ok(broker)
    }

    pub(super) async fn close(&self) -> Result<()> {
        match self.connection.get() {
            Some(broker) => broker.close().await,
            None => Ok(()),
        }
    }
}
