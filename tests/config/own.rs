//! Layers and gates of one's own, and those that need a broker.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::config::{
    AnyLayer, AnyPublisherLayer, Config, GateOptions, LayerOptions, Loader, Publish, PublisherLayerOptions, Refusal,
    options,
};
use swarrot::gate::{Flow, Gate, Permit};
use swarrot::layer::BoxHandler;
use swarrot::prelude::*;
use swarrot::publishing::PublisherLayer;
use swarrot::{Capabilities, Handler, Requester, RequesterOptions, async_trait};

const LINES: &str = r#"
    brokers.main = "memory://"
    topology.main.queues.mails = {}

    [publishers.marked]
    routing_key = "mails"
    layers = [{ layer = "mark", text = "outer" }, { layer = "mark", text = "inner" }]

    [publishers.plain]
    routing_key = "mails"

    [gates.door]
    gate = "door"
    open_after = "1h"

    [workers.mails]
    queue = "mails"
    max_messages = 2
    signals = false
    gates = ["door"]
    layers = [{ layer = "note", text = "outer" }, { layer = "note", text = "inner" }]
"#;

options! {
    /// Marks messages.
    struct Mark {
        /// With this header.
        text: String,
    }
}

impl PublisherLayerOptions for Mark {
    const LAYER: &'static str = "mark";

    fn build(self) -> Result<AnyPublisherLayer, Refusal> {
        Ok(Arc::new(self))
    }
}

impl PublisherLayer for Mark {
    fn wrap(&self, inner: Arc<dyn MessagePublisher>) -> Arc<dyn MessagePublisher> {
        Arc::new(Marking { inner, text: self.text.clone() })
    }
}

#[derive(Debug)]
struct Marking {
    inner: Arc<dyn MessagePublisher>,
    text: String,
}

#[async_trait]
impl MessagePublisher for Marking {
    fn exchange(&self) -> &str {
        self.inner.exchange()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<swarrot::Result<()>> {
        let mut batch = batch.to_vec();
        for outgoing in &mut batch {
            let marks = outgoing.message.headers.get("marks").and_then(|value| value.as_str()).unwrap_or_default();
            outgoing.message.headers.insert("marks", format!("{marks} {}", self.text));
        }
        self.inner.publish(&batch).await
    }

    async fn close(&self) -> swarrot::Result<()> {
        self.inner.close().await
    }
}

options! {
    /// Notes that a message passed.
    struct Note {
        /// By this text.
        text: String,
    }
}

#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

struct Noting(BoxHandler, String);

impl Handler for Noting {
    async fn handle(&self, delivery: Delivery) -> Result<Outcome, BoxError> {
        if let Some(notes) = PASSED.lock().unwrap().as_ref() {
            notes.0.lock().unwrap().push(self.1.clone());
        }
        self.0.handle(delivery).await
    }
}

/// A file knows nothing of a test; there is one that looks.
static PASSED: Mutex<Option<Notes>> = Mutex::new(None);

impl LayerOptions for Note {
    const LAYER: &'static str = "note";

    fn build(self) -> Result<AnyLayer, Refusal> {
        Ok(AnyLayer::new(tower_layer::layer_fn(move |inner| Noting(inner, self.text.clone()))))
    }
}

options! {
    /// Closed for a while.
    struct Door {
        /// For so long.
        open_after: Duration,
    }
}

impl GateOptions for Door {
    const GATE: &'static str = "door";

    fn build(self) -> Result<Arc<dyn Gate>, Refusal> {
        Ok(Arc::new(self))
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the door is closed")
    }
}

#[async_trait]
impl Gate for Door {
    async fn enter(&self, max: NonZeroUsize) -> Permit {
        tokio::time::sleep(self.open_after).await;
        Permit::new(max)
    }

    async fn revoked(&self, _: Permit) {
        std::future::pending::<()>().await;
    }

    fn leave(&self, _: Permit, _: usize) {}
    fn handled(&self, _: Permit, _: &Delivery, _: &Result<Outcome, BoxError>) {}
    fn not_handled(&self, _: Permit) {}

    fn flow(&self) -> Flow {
        Flow::Free
    }
}

#[tokio::test(start_paused = true)]
async fn are_used_by_their_names() {
    let loader = Loader::new().layer::<Note>().gate::<Door>().publisher_layer::<Mark>();
    let config = loader.parse(LINES).unwrap();
    config.publish("marked", Message::new("m")).await.unwrap();
    config.publish("plain", Message::new("p")).await.unwrap();

    let notes = Notes::default();
    *PASSED.lock().unwrap() = Some(notes.clone());
    let marks: Arc<Mutex<Vec<String>>> = Arc::default();
    let see = |State(marks): State<Arc<Mutex<Vec<String>>>>, delivery: Delivery| async move {
        let value = delivery.headers().get("marks").and_then(|value| value.as_str().map(str::to_owned));
        marks.lock().unwrap().push(value.unwrap_or_default());
    };
    let start = tokio::time::Instant::now();
    config.worker("mails").await.unwrap().state(Arc::clone(&marks)).run(see).await.unwrap();
    *PASSED.lock().unwrap() = None;
    assert!(start.elapsed() >= Duration::from_secs(3600), "the gate held it back");
    assert_eq!(*marks.lock().unwrap(), [" outer inner", ""]);
    assert_eq!(*notes.0.lock().unwrap(), ["outer", "inner", "outer", "inner"]);
    assert_eq!(config.gate("door").unwrap().to_string(), "the door is closed");
}

#[test]
fn are_unknown_unless_they_are_made_known() {
    let error = Config::parse(LINES).expect_err("nobody knows them");
    assert_eq!(error.problems().len(), 5, "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_replied_by_the_workers_own_broker() {
    let config = Config::parse(
        r#"
        brokers.main = "memory://"
        topology.main.queues.questions = {}
        [workers.questions]
        queue = "questions"
        signals = false
        layers = [{ layer = "reply_errors" }]
        "#,
    )
    .unwrap();
    let worker = config.worker("questions").await.unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(|| async { Err::<(), _>("no idea") }));
    let broker = config.connect("main").await.unwrap();
    let requester = Requester::new(broker, RequesterOptions::default()).await.unwrap();
    let answer = requester.request(Outgoing::new("questions", Message::new("why?"))).await;
    let error = answer.expect_err("an error is the answer");
    assert!(format!("{error} {error:?}").contains("no idea"), "{error:?}");
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_may_go_elsewhere_through_the_same_layers() {
    let loader = Loader::new().layer::<Note>().gate::<Door>().publisher_layer::<Mark>();
    let text = LINES.replace("queues.mails = {}", "queues = { mails = {}, other = {} }\n    topology.main.exchanges.all = \"fanout\"\n    topology.main.bindings = [{ exchange = \"all\", queue = \"other\" }]");
    let config = loader.parse(text).unwrap();
    let publisher = config.publisher("marked").await.unwrap();
    publisher.publish(Publish::new(Message::new("x")).exchange("all")).await.unwrap();
    let broker = config.connect("main").await.unwrap();
    let seen = broker.peek("other", NonZeroUsize::MIN).await.unwrap();
    assert_eq!(seen[0].headers.get("marks").and_then(|value| value.as_str()), Some(" outer inner"));
}
