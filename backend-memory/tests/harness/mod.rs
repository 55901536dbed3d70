//! How the suite reaches the memory backend.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use swarrot_conformance::{Faults, FaultyBroker, Harness};
use swarrot_core::topology::QueueKind;
use swarrot_core::{BoxError, Broker, Capabilities, Message, Value, async_trait};
use swarrot_memory::{MemoryBroker, Profile};
use tokio::runtime::{Builder, Handle, Id, Runtime};

/// A memory broker for each case: cases run on paused clocks of their own.
#[derive(Debug)]
pub(crate) struct Memory {
    name: &'static str,
    profile: Profile,
    /// By the runtime of the case.
    brokers: Mutex<HashMap<Id, MemoryBroker>>,
}

impl Memory {
    pub(crate) fn new(name: &'static str, profile: Profile) -> Self {
        Self { name, profile, brokers: Mutex::default() }
    }

    /// Another connection to the case's broker.
    fn broker(&self) -> MemoryBroker {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = brokers.entry(Handle::current().id()).or_insert_with(|| MemoryBroker::with_profile(self.profile));
        broker.reconnect()
    }
}

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        MemoryBroker::with_profile(self.profile).capabilities(QueueKind::default())
    }

    fn runtime(&self) -> io::Result<Runtime> {
        Builder::new_current_thread().enable_all().start_paused(true).build()
    }

    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        Ok(self.broker().into_dyn())
    }

    async fn raw_publish(&self, queue: &str, body: &[u8]) -> Result<(), BoxError> {
        let nested = Value::List(vec![Value::List(vec![Value::Null])]);
        let message = Message::new(body.to_vec()).header("x-odd", nested).header("", "no name");
        Ok(self.broker().inject(queue, message)?)
    }

    fn faults(&self) -> Faults {
        Faults { cut: true, block: true, ..Faults::NONE }
    }

    async fn faulty(&self) -> Result<Arc<dyn FaultyBroker>, BoxError> {
        Ok(Arc::new(Faulty(self.broker())))
    }
}

#[derive(Debug)]
struct Faulty(MemoryBroker);

#[async_trait]
impl FaultyBroker for Faulty {
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError> {
        Ok(self.0.reconnect().into_dyn())
    }

    async fn cut(&self) -> Result<(), BoxError> {
        self.0.faults().cut();
        Ok(())
    }

    async fn heal(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn block(&self) -> Result<(), BoxError> {
        self.0.faults().block();
        Ok(())
    }

    async fn unblock(&self) -> Result<(), BoxError> {
        self.0.faults().unblock();
        Ok(())
    }
}
