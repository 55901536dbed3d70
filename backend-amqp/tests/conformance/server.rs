//! The servers: one that stays as it is, and one to break for each kind of queue.

use std::env::var;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use swarrot_amqp::AmqpBroker;
use swarrot_conformance::brokers::{RabbitMq, Start};
use swarrot_core::topology::QueueKind;
use swarrot_core::{Broker as _, Capabilities, RequeuePosition};

/// The server that stays as it is.
pub(crate) fn steady() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match var("SWARROT_TEST_AMQP_URL") {
        Ok(url) => url,
        Err(_) => started(&STEADY).url(),
    })
}

/// The server to break in the cases of this kind of queue.
pub(crate) fn fragile(kind: QueueKind) -> &'static RabbitMq {
    static GIVEN: OnceLock<RabbitMq> = OnceLock::new();
    if kind == QueueKind::Classic {
        return started(&FRAGILE_CLASSIC);
    }
    match var("SWARROT_TEST_AMQP_NODE") {
        Ok(folder) => GIVEN.get_or_init(|| RabbitMq::attach(folder).expect("a node was started there")),
        Err(_) => started(&FRAGILE),
    }
}

/// What the server can do with this kind of queue. Written down here, and not asked of the backend: were that to claim
/// less one day, its cases would just be ignored.
pub(crate) fn capabilities(kind: QueueKind) -> Capabilities {
    let quorum = kind == QueueKind::Quorum;
    let mut claims = Capabilities::NONE;
    claims.unroutable = true;
    claims.durable = true;
    claims.ordered = true;
    claims.delivery_count = quorum;
    claims.requeue_position = if quorum { RequeuePosition::Unspecified } else { RequeuePosition::Head };
    claims.max_priority = if quorum { (version() >= (4, 3)).then_some(31) } else { Some(u8::MAX) };
    claims.ttl = true;
    claims.length_limit = true;
    claims.max_delay = Some(Duration::from_secs(4_200_000));
    claims.delay_grid_percent = 10;
    claims.dead_letter = true;
    claims.network = true;
    claims.system = "rabbitmq";
    claims
}

/// The server's major and minor version.
fn version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    // Cases ask from within their runtimes, where another one may not be waited for.
    *VERSION.get_or_init(|| thread::spawn(ask).join().expect("the server answers"))
}

fn ask() -> (u32, u32) {
    let url = steady().parse().expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let info = runtime.block_on(async {
        let broker = AmqpBroker::connect(&url).await.expect("the server answers");
        let info = broker.describe().await.expect("it says what it is");
        broker.close().await.expect("closed");
        info
    });
    let mut numbers = info.version.split('.').map(|part| part.parse().expect("a version of numbers"));
    (numbers.next().expect("a major version"), numbers.next().expect("a minor version"))
}

static STEADY: OnceLock<RabbitMq> = OnceLock::new();
static FRAGILE: OnceLock<RabbitMq> = OnceLock::new();
static FRAGILE_CLASSIC: OnceLock<RabbitMq> = OnceLock::new();

/// A node of our own, started when it is needed. Nothing in a static is dropped: its watcher ends it with the process.
fn started(node: &'static OnceLock<RabbitMq>) -> &'static RabbitMq {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    node.get_or_init(|| RabbitMq::start(&Start::default()).expect("RabbitMQ starts"))
}
