//! The two servers: one that stays as it is, and one to break.

use std::env::var;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use swarrot_amqp::AmqpBroker;
use swarrot_conformance::brokers::{RabbitMq, Start};
use swarrot_core::topology::QueueKind;
use swarrot_core::{BoxError, Broker, Capabilities};

/// The server that stays as it is.
pub(crate) fn steady() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match var("SWARROT_TEST_AMQP_URL") {
        Ok(url) => url,
        Err(_) => started(&STEADY).url(),
    })
}

/// The server to break.
pub(crate) fn fragile() -> &'static RabbitMq {
    static NODE: OnceLock<RabbitMq> = OnceLock::new();
    match var("SWARROT_TEST_AMQP_NODE") {
        Ok(folder) => NODE.get_or_init(|| RabbitMq::attach(folder).expect("a node was started there")),
        Err(_) => started(&FRAGILE),
    }
}

/// What the server can do with this kind of queue.
pub(crate) fn capabilities(kind: QueueKind) -> Capabilities {
    static BROKER: OnceLock<[Capabilities; 2]> = OnceLock::new();
    let [quorum, classic] = BROKER.get_or_init(|| {
        // Cases ask from within their runtimes, where another one may not be waited for.
        thread::spawn(ask).join().expect("the server answers")
    });
    match kind {
        QueueKind::Quorum => *quorum,
        QueueKind::Classic => *classic,
    }
}

fn ask() -> [Capabilities; 2] {
    let url = steady().parse().expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let broker = AmqpBroker::connect(&url).await.expect("the server answers");
        let capabilities = [QueueKind::Quorum, QueueKind::Classic].map(|kind| broker.capabilities(kind));
        broker.close().await.expect("closed");
        capabilities
    })
}

/// How many of the delay queues for up to ten minutes the server has. AMQP cannot list queues, so each is looked for.
pub(crate) async fn delay_queues() -> Result<usize, BoxError> {
    let connection = Connection::connect(steady(), ConnectionProperties::default()).await?;
    let steps = [(10, 10), (100, 10), (1000, 100), (10_000, 1000), (100_000, 10_000)];
    let grid = steps.into_iter().flat_map(|(from, step)| (from..from * 10).step_by(step));
    let mut found = 0;
    for milliseconds in grid.take_while(|milliseconds| *milliseconds <= 600_000) {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = format!("swarrot.delay.{milliseconds}");
        let channel = connection.create_channel().await?;
        found += usize::from(channel.queue_declare(name.into(), options, FieldTable::default()).await.is_ok());
    }
    connection.close(200, "".into()).await?;
    Ok(found)
}

static STEADY: OnceLock<RabbitMq> = OnceLock::new();
static FRAGILE: OnceLock<RabbitMq> = OnceLock::new();

/// A node of our own, started when it is needed. Nothing in a static is dropped: its watcher ends it with the process.
fn started(node: &'static OnceLock<RabbitMq>) -> &'static RabbitMq {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    node.get_or_init(|| RabbitMq::start(&Start::default()).expect("RabbitMQ starts"))
}
