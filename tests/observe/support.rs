//! A memory broker with one queue, and a subscriber that remembers spans.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use swarrot::memory::{Faults, MemoryBroker};
use swarrot::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub(crate) const QUEUE: &str = "work";
pub(crate) const DEAD: &str = "work.dead";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Bench {
    pub(crate) broker: Arc<dyn Broker>,
    memory: MemoryBroker,
    pub(crate) publisher: Arc<dyn MessagePublisher>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let memory = MemoryBroker::new();
        let broker: Arc<dyn Broker> = Arc::new(memory.clone());
        broker.declare(&Topology::new().queue(Queue::new(QUEUE))).await.unwrap();
        let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
        Self { broker, memory, publisher }
    }

    /// Publishes bodies `0`, `1`, … up to this many.
    pub(crate) async fn fill(&self, messages: usize) {
        let batch: Vec<_> = (0..messages).map(|n| Outgoing::new(QUEUE, Message::new(n.to_string()))).collect();
        for result in self.publisher.publish(&batch).await {
            result.unwrap();
        }
    }

    pub(crate) async fn send(&self, message: Message) {
        self.publisher.publish_one(Outgoing::new(QUEUE, message)).await.unwrap();
    }

    pub(crate) async fn worker(&self) -> Worker {
        self.worker_of(QUEUE).await
    }

    pub(crate) async fn worker_of(&self, queue: &str) -> Worker {
        Worker::new(self.broker.provider(queue, ProviderOptions::default()).await.unwrap()).signals_off()
    }

    pub(crate) fn faults(&self) -> Faults {
        self.memory.faults()
    }

    /// Takes one message out of a queue.
    pub(crate) async fn take(&self, queue: &str) -> Delivery {
        let provider = self.broker.provider(queue, ProviderOptions::default()).await.unwrap();
        let delivery = provider.receive(NonZeroUsize::MIN, SECOND).await.unwrap().remove(0);
        provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await.unwrap();
        delivery
    }
}

/// Fields by name.
pub(crate) type Fields = BTreeMap<&'static str, String>;

/// Remembers spans by target, with their fields, and events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<(Vec<Span>, Vec<Fields>)>>);

/// A span's id, target and fields.
type Span = (Id, String, Fields);

impl Seen {
    /// The fields of the spans with this target, in the order of their beginning.
    pub(crate) fn spans(&self, target: &str) -> Vec<Fields> {
        let spans = &self.0.lock().unwrap().0;
        spans.iter().filter(|(_, of, _)| of == target).map(|(_, _, fields)| fields.clone()).collect()
    }

    pub(crate) fn events(&self) -> Vec<Fields> {
        self.0.lock().unwrap().1.clone()
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Collect::default();
        attributes.record(&mut fields);
        self.0.lock().unwrap().0.push((id.clone(), attributes.metadata().target().to_owned(), fields.0));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        // The last one: ids are used again.
        let (_, _, fields) = seen.0.iter_mut().rev().find(|(of, _, _)| of == id).unwrap();
        let mut collect = Collect(std::mem::take(fields));
        values.record(&mut collect);
        *fields = collect.0;
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Collect::default();
        event.record(&mut fields);
        fields.0.insert("target", event.metadata().target().to_owned());
        self.0.lock().unwrap().1.push(fields.0);
    }
}

#[derive(Default)]
struct Collect(Fields);

impl Visit for Collect {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Makes this subscriber the thread's own, until the guard is dropped.
///
/// While a process has but one subscriber, tracing asks whichever thread comes first to a span for its own, and one that has none
/// turns that span off for all. So there is a second one, which wants nothing.
pub(crate) fn listen(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    static SILENT: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&SILENT);
    tracing::dispatcher::set_default(&subscriber.into())
}
