//! What the author of a backend tells the suite.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use swarrot_core::topology::Queue;
use swarrot_core::{BoxError, Broker, Capabilities};
use tokio::runtime::{Builder, Runtime};

use crate::faults::{Faults, FaultyBroker};

/// How the suite reaches a backend and its broker.
///
/// One harness tests one kind of queue on one server; a backend with several has several harnesses. Cases run at the
/// same time, each in a thread with a runtime of its own, and keep apart by random names of queues and exchanges.
#[async_trait]
pub trait Harness: Debug + Send + Sync + 'static {
    /// What the tests' names begin with, such as `amqp-quorum`.
    fn name(&self) -> &str;

    /// What the backend claims for this harness's kind of queue. A case that needs more is shown as ignored; one case
    /// fails if the backend itself says anything else.
    ///
    /// May block, to start the server or to ask for its version.
    fn capabilities(&self) -> Capabilities;

    /// A queue of this harness's kind, with nothing else set.
    fn queue(&self, name: &str) -> Queue {
        Queue::new(name)
    }

    /// The runtime of one case: two threads, unless told otherwise. A backend that lives on tokio's clock alone can give
    /// one with a paused clock, so that hours pass at once.
    ///
    /// # Errors
    /// If the operating system has no thread or file to spare.
    fn runtime(&self) -> io::Result<Runtime> {
        Builder::new_multi_thread().worker_threads(2).enable_all().build()
    }

    /// A new connection to the broker. Two of them in one case see the same queues.
    ///
    /// # Errors
    /// If the broker cannot be reached; the case fails.
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError>;

    /// Puts a message into a queue as a foreign producer would: through the plain client, without any header or id of
    /// swarrot's, and with whatever odd properties and headers the broker lets pass. Returns once the broker has it.
    ///
    /// # Errors
    /// If the broker does not take it; the case fails.
    async fn raw_publish(&self, queue: &str, body: &[u8]) -> Result<(), BoxError>;

    /// Which faults [`faulty`](Self::faulty) can make. Cases that need others are shown as ignored.
    fn faults(&self) -> Faults {
        Faults::NONE
    }

    /// A broker for one case to break, whole again and apart from the one behind [`connect`](Self::connect), and from those
    /// of other harnesses. The suite asks each harness for one at a time.
    ///
    /// # Errors
    /// If it cannot be made whole; the case fails.
    async fn faulty(&self) -> Result<Arc<dyn FaultyBroker>, BoxError> {
        Err("this harness has no broker to break; it must not claim faults".into())
    }
}

const _: Option<&dyn Harness> = None;
