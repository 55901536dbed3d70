//! Workers under random faults: no message is lost, and none is acked that no handler acked.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use swarrot::memory::{MemoryBroker, Profile};
use swarrot::prelude::*;
use swarrot::{Report, WorkerError};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);

/// A worker, as some case wants it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    streams: bool,
    concurrency: usize,
    loops: usize,
    spawned: bool,
    deadline_secs: u64,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Publish(u64),
    Pass {
        millis: u64,
    },
    Cut,
    LoseAcks(u64),
    Duplicate(u64),
    Concurrency(usize),
    DeleteDeadLetters,
    DeclareDeadLetters,
    /// Stops the worker and starts another.
    Stop,
    Cancel,
    DropRun,
    /// Starts the next worker with this limit.
    MaxMessages(u64),
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), 1..9_usize, 1..5_usize, any::<bool>(), 0..20_u64).prop_map(
        |(streams, concurrency, loops, spawned, deadline_secs)| Shape {
            streams,
            concurrency,
            loops,
            spawned,
            deadline_secs,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..20_u64).prop_map(Event::Publish),
        6 => (0..20_000_u64).prop_map(|millis| Event::Pass { millis }),
        1 => Just(Event::Cut),
        1 => (1..5_u64).prop_map(Event::LoseAcks),
        1 => (1..5_u64).prop_map(Event::Duplicate),
        1 => (1..12_usize).prop_map(Event::Concurrency),
        1 => Just(Event::DeleteDeadLetters),
        1 => Just(Event::DeclareDeadLetters),
        1 => Just(Event::Stop),
        1 => Just(Event::Cancel),
        1 => Just(Event::DropRun),
        1 => (0..10_u64).prop_map(Event::MaxMessages),
    ]
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// Bodies, with how often handlers have acked them.
type Acked = Arc<Mutex<BTreeMap<String, u64>>>;

/// Takes some time and decides, both by body and by how many were handled before: a message that is released comes back
/// as it was, and must not be released for ever.
async fn handle(State(acked): State<Acked>, delivery: Delivery) -> Result<Outcome, BoxError> {
    let body = String::from_utf8_lossy(delivery.body()).into_owned();
    let nth = HANDLED.fetch_add(1, Ordering::Relaxed);
    let chance = BuildHasherDefault::<DefaultHasher>::default().hash_one((&body, nth));
    match chance >> 8 & 7 {
        0 => {}
        1 => tokio::task::yield_now().await,
        n => sleep(Duration::from_millis((chance >> 16) % (1 << (n * 2)))).await,
    }
    match chance % 16 {
        0 | 1 => Ok(Outcome::retry(Duration::from_millis((chance >> 32) % 10_000))),
        2 => Ok(Outcome::retry(Duration::ZERO)),
        3 => Ok(Outcome::Requeue),
        4 => Ok(Outcome::Release),
        5 => Ok(Outcome::reject("no")),
        6 => Err("fails".into()),
        7 => panic!("panics"),
        8 => Ok(Outcome::retry(Duration::MAX)),
        _ => {
            *acked.lock().unwrap().entry(body).or_default() += 1;
            Ok(Outcome::Ack)
        }
    }
}

struct Chaos {
    shape: Shape,
    memory: MemoryBroker,
    broker: Arc<dyn Broker>,
    publisher: Arc<dyn MessagePublisher>,
    acked: Acked,
    published: u64,
    handle: WorkerHandle,
    running: JoinHandle<Result<Report, WorkerError>>,
}

impl Chaos {
    async fn start(shape: Shape) -> Self {
        let lease = Duration::from_secs(10);
        let profile = if shape.streams { Profile::Streams { lease } } else { Profile::Amqp };
        let memory = MemoryBroker::with_profile(profile);
        let broker = memory.clone().into_dyn();
        broker.declare(&Topology::new().queue(Queue::new("q"))).await.unwrap();
        let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
        let acked = Acked::default();
        let (handle, running) = Self::work(shape, &broker, &acked, None, false).await;
        Self { shape, memory, broker, publisher, acked, published: 0, handle, running }
    }

    async fn work(
        shape: Shape,
        broker: &Arc<dyn Broker>,
        acked: &Acked,
        max: Option<u64>,
        until_empty: bool,
    ) -> (WorkerHandle, JoinHandle<Result<Report, WorkerError>>) {
        let provider = broker.provider("q", ProviderOptions::default()).await.unwrap();
        let worker = Worker::new(provider).signals_off().state(Arc::clone(acked));
        let worker = worker.concurrency(shape.concurrency).parallelism(shape.loops);
        let worker = worker.deadline(Duration::from_secs(shape.deadline_secs));
        let worker = if shape.spawned { worker.spawned() } else { worker };
        let worker = if until_empty { worker.stop_when_empty() } else { worker };
        let worker = if let Some(max) = max { worker.max_messages(max) } else { worker };
        (worker.handle(), tokio::spawn(worker.run(handle)))
    }

    /// Waits for the worker's end, and starts the next one.
    async fn next(&mut self, max: Option<u64>) {
        let next = Self::work(self.shape, &self.broker, &self.acked, max, false).await;
        let last = std::mem::replace(&mut self.running, next.1);
        self.handle = next.0;
        // The longest handler takes 16 s; then the deadline, the grace and closing.
        if let Ok(report) = timeout(60 * Duration::from_secs(1), last).await.expect("it ends in time") {
            let c = report.expect("no failure").counts;
            assert!(c.panics <= c.errors && c.errors <= c.handled, "{c:?}");
            assert!(c.acked + c.retried + c.requeued <= c.handled, "{c:?}");
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Publish(messages) => {
                let bodies = self.published..self.published + messages;
                let batch: Vec<_> = bodies.map(|n| Outgoing::new("q", Message::new(n.to_string()))).collect();
                assert!(self.publisher.publish(&batch).await.iter().all(Result::is_ok));
                self.published += messages;
            }
            Event::Pass { millis } => sleep(Duration::from_millis(millis)).await,
            Event::Cut => self.memory.faults().cut(),
            Event::LoseAcks(count) => self.memory.faults().lose_acks(count),
            Event::Duplicate(count) => self.memory.faults().duplicate_deliveries(count),
            Event::Concurrency(deliveries) => self.handle.set_concurrency(deliveries),
            // What is parked would go with it.
            Event::DeleteDeadLetters if self.memory.ledger().parked > 0 => {}
            Event::DeleteDeadLetters => self.broker.delete("q.dead").await.unwrap(),
            Event::DeclareDeadLetters => self.broker.declare(&Topology::new().queue(Queue::new("q"))).await.unwrap(),
            Event::Stop => {
                self.handle.stop();
                self.next(None).await;
            }
            Event::Cancel => {
                self.handle.cancel();
                self.next(None).await;
            }
            Event::DropRun => {
                self.running.abort();
                self.next(None).await;
            }
            Event::MaxMessages(max) => {
                self.handle.stop();
                self.next(Some(max)).await;
            }
        }
        self.memory.check().expect("the model is sound");
    }

    /// Works everything off and checks where it went.
    async fn end(mut self) {
        self.memory.faults().clear();
        self.happen(Event::DeclareDeadLetters).await;
        self.handle.stop();
        (&mut self.running).await.expect("no panic").expect("no failure");
        for _ in 0..100 {
            let running = Self::work(self.shape, &self.broker, &self.acked, None, true).await.1;
            let report = timeout(HOUR, running).await.expect("it stops when empty").unwrap();
            report.expect("no failure");
            sleep(Duration::from_secs(60)).await;
            let left = self.memory.ledger();
            if left.ready + left.delayed + left.unsettled == 0 {
                break;
            }
        }
        let ledger = self.memory.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(ledger.confirmed, self.published);
        assert_eq!(ledger.confirmed + ledger.duplicated, ledger.acked + ledger.parked, "{ledger:?}");
        let acked = self.acked.lock().unwrap().clone();
        assert!(ledger.acked <= acked.values().sum(), "acked, but not by a handler: {ledger:?}");
        let dead = self.broker.provider("q.dead", ProviderOptions::default()).await.unwrap();
        dead.set_prefetch(std::num::NonZeroU16::MAX).await.unwrap();
        let parked = dead.receive(NonZeroUsize::MAX, Duration::ZERO).await.unwrap();
        for body in (0..self.published).map(|n| n.to_string()) {
            let is_parked = parked.iter().any(|delivery| delivery.body() == body.as_bytes());
            assert!(is_parked || acked.contains_key(&body), "{body} was neither acked nor parked");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_acked_unhandled(shape in shape(), events in vec(event(), 1..40)) {
        HANDLED.store(0, Ordering::Relaxed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
            let mut chaos = Chaos::start(shape).await;
            for event in events {
                chaos.happen(event).await;
            }
            chaos.end().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wake_ups_from_other_threads_are_not_lost() {
    const MESSAGES: u64 = 20_000;
    let broker = MemoryBroker::new().into_dyn();
    broker.declare(&Topology::new().queue(Queue::new("q"))).await.unwrap();
    let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
    for loops in [1, 3] {
        let batch: Vec<_> = (0..MESSAGES).map(|n| Outgoing::new("q", Message::new(n.to_string()))).collect();
        assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
        let provider = broker.provider("q", ProviderOptions::default()).await.unwrap();
        let worker = Worker::new(provider).signals_off().concurrency(64).parallelism(loops).max_messages(MESSAGES);
        // Each is woken by a task that most often runs on another thread.
        let handler = async || tokio::spawn(tokio::task::yield_now()).await.expect("no panic");
        let report = timeout(Duration::from_secs(60), worker.run(handler)).await.expect("none sleeps on").unwrap();
        assert_eq!(report.counts.acked, MESSAGES);
    }
}
