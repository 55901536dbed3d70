//! A server that tests may disturb.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use swarrot_conformance::brokers::{RabbitMq, Start};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// The server, for one test at a time.
#[derive(Clone)]
pub struct Node(&'static RabbitMq, Arc<OwnedMutexGuard<()>>);

/// The one whose folder `SWARROT_TEST_AMQP_NODE` names, or else one of our own. Nothing in a static is dropped: the
/// node's watcher ends it with the process.
pub async fn node() -> Node {
    static LOCK: OnceLock<Arc<Mutex<()>>> = OnceLock::new();
    static NODE: OnceLock<RabbitMq> = OnceLock::new();
    let alone = Arc::clone(LOCK.get_or_init(Arc::default)).lock_owned().await;
    let start = || match std::env::var("SWARROT_TEST_AMQP_NODE") {
        Ok(folder) => RabbitMq::attach(folder).expect("a node was started there"),
        Err(_) => RabbitMq::start(&Start::default()).expect("RabbitMQ starts"),
    };
    let node = spawn_blocking(move || NODE.get_or_init(start)).await.expect("no panic");
    Node(node, Arc::new(alone))
}

impl Node {
    pub fn url(&self) -> String {
        self.0.url()
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Runs `rabbitmqctl`.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let (node, arguments) = (self.0, arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>());
        let run = move || node.ctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect("it runs");
        spawn_blocking(run).await.expect("no panic")
    }
}
