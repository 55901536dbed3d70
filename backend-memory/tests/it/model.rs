//! Random runs against a tiny model: what may be delivered, what must not be, and that nothing is lost.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{LEASE, declare, max, provider_of, publisher};
use proptest::prelude::*;
use swarrot_core::topology::Queue;
use swarrot_core::{
    Broker, Delivery, ErrorKind, Message, MessageProvider, MessagePublisher, MessagePublisherExt, Outcome, Outgoing,
    Settlement,
};
use swarrot_memory::{MemoryBroker, Profile};
use tokio::time::{Instant, advance};

/// How many providers there are; one that is closed is replaced.
const PROVIDERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        delay: u64,
    },
    Receive {
        provider: usize,
        max: usize,
    },
    /// Settles one of all deliveries that a provider ever got, so that many receipts are stale.
    Settle {
        provider: usize,
        delivery: usize,
        outcome: Outcome,
    },
    Extend {
        provider: usize,
        delivery: usize,
    },
    Close {
        provider: usize,
    },
    Prefetch {
        provider: usize,
        prefetch: u16,
    },
    Cut,
    Advance {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let provider = 0..PROVIDERS;
    let outcome = prop_oneof![
        4 => Just(Outcome::Ack),
        1 => (0_u64..8000).prop_map(|ms| Outcome::retry(Duration::from_millis(ms))),
        1 => Just(Outcome::retry(Duration::ZERO)),
        1 => Just(Outcome::Requeue),
        1 => Just(Outcome::Release),
        1 => Just(Outcome::reject("no")),
    ];
    prop_oneof![
        4 => Just(Step::Publish { delay: 0 }),
        2 => (0_u64..8000).prop_map(|delay| Step::Publish { delay }),
        6 => (provider.clone(), 1_usize..5).prop_map(|(provider, max)| Step::Receive { provider, max }),
        6 => (provider.clone(), 0_usize..6, outcome)
            .prop_map(|(provider, delivery, outcome)| Step::Settle { provider, delivery, outcome }),
        1 => (provider.clone(), 0_usize..6).prop_map(|(provider, delivery)| Step::Extend { provider, delivery }),
        1 => provider.clone().prop_map(|provider| Step::Close { provider }),
        1 => (provider, 1_u16..6).prop_map(|(provider, prefetch)| Step::Prefetch { provider, prefetch }),
        1 => Just(Step::Cut),
        3 => (0_u64..6000).prop_map(|millis| Step::Advance { millis }),
    ]
}

/// What the model knows of a message.
#[derive(Debug)]
struct Known {
    number: usize,
    not_before: Instant,
    attempt: u32,
    /// Deliveries of this attempt that count.
    count: u32,
    delivered: bool,
    done: bool,
}

/// What the model knows of a delivery that it was handed and that is not settled.
#[derive(Debug)]
struct Held {
    id: String,
    until: Option<Instant>,
}

struct Run {
    broker: MemoryBroker,
    lease: Option<Duration>,
    publisher: Arc<dyn MessagePublisher>,
    providers: Vec<Arc<dyn MessageProvider>>,
    prefetch: Vec<usize>,
    cut: Vec<bool>,
    /// Every delivery that each provider got, the latest first.
    got: Vec<Vec<Delivery>>,
    /// By provider, then by receipt.
    held: Vec<HashMap<swarrot_core::Receipt, Held>>,
    known: HashMap<String, Known>,
    /// The highest number among messages without delay that were delivered for the first time.
    last_first: Option<usize>,
    acked: u64,
    parked: usize,
}

impl Run {
    async fn new(profile: Profile) -> Self {
        let broker = MemoryBroker::with_profile(profile);
        declare(&broker, Queue::new("q").delivery_limit(None)).await;
        let lease = broker.capabilities(swarrot_core::topology::QueueKind::default()).lease;
        let publisher = publisher(&broker, "").await;
        let mut providers = Vec::new();
        for _ in 0..PROVIDERS {
            providers.push(provider_of(&broker, "q", 3).await);
        }
        Self {
            broker,
            lease,
            publisher,
            providers,
            prefetch: vec![3; PROVIDERS],
            cut: vec![false; PROVIDERS],
            got: vec![Vec::new(); PROVIDERS],
            held: (0..PROVIDERS).map(|_| HashMap::new()).collect(),
            known: HashMap::new(),
            last_first: None,
            acked: 0,
            parked: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Publish { delay } => self.publish(Duration::from_millis(delay)).await,
            Step::Receive { provider, max } => drop(self.receive(provider, max).await),
            Step::Settle { provider, delivery, outcome } => {
                if let Some(delivery) = self.got[provider].get(delivery).cloned() {
                    self.settle(provider, &delivery, outcome).await;
                }
            }
            Step::Extend { provider, delivery } => self.extend(provider, delivery).await,
            Step::Close { provider } => {
                self.providers[provider].close().await.expect("close");
                for held in std::mem::take(&mut self.held[provider]).into_values() {
                    self.end(&held, 0);
                }
                self.providers[provider] = provider_of(&self.broker, "q", 3).await;
                (self.prefetch[provider], self.cut[provider]) = (3, false);
                self.got[provider].clear();
            }
            Step::Prefetch { provider, prefetch } => {
                let prefetch = NonZeroU16::new(prefetch).expect("not zero");
                self.providers[provider].set_prefetch(prefetch).await.expect("set prefetch");
                self.prefetch[provider] = prefetch.get().into();
            }
            Step::Cut => {
                self.broker.faults().cut();
                for provider in 0..PROVIDERS {
                    for held in std::mem::take(&mut self.held[provider]).into_values() {
                        self.end(&held, 1);
                    }
                }
                self.cut = vec![true; PROVIDERS];
            }
            Step::Advance { millis } => advance(Duration::from_millis(millis)).await,
        }
        self.drop_lost_leases();
        self.broker.check().expect("sound");
    }

    async fn publish(&mut self, delay: Duration) {
        let (number, id) = (self.known.len(), format!("m{}", self.known.len()));
        let outgoing = Outgoing::new("q", Message::new("").id(&*id)).delay(delay);
        self.publisher.publish_one(outgoing).await.expect("publish");
        let not_before = Instant::now() + delay;
        let known = Known { number, not_before, attempt: 1, count: 0, delivered: !delay.is_zero(), done: false };
        self.known.insert(id, known);
    }

    async fn receive(&mut self, provider: usize, most: usize) -> usize {
        let received = self.providers[provider].receive(max(most), Duration::ZERO).await;
        if std::mem::take(&mut self.cut[provider]) {
            assert_eq!(received.expect_err("the cut is told once").kind(), ErrorKind::Connection);
            return 0;
        }
        let received = received.expect("receive");
        let room = self.prefetch[provider].saturating_sub(self.held[provider].len());
        assert!(received.len() <= most.min(room), "{} deliveries, room for {room}", received.len());
        let count = received.len();
        for delivery in received {
            let id = delivery.id().to_owned();
            let held_elsewhere = self.held.iter().flat_map(HashMap::values).any(|held| held.id == id);
            assert!(!held_elsewhere, "{id} is with two providers");
            let known = self.known.get_mut(&id).expect("it was published");
            assert!(!known.done, "{id} was settled for good");
            assert!(known.not_before <= Instant::now(), "{id} came early");
            assert_eq!(delivery.attempt(), known.attempt, "{id}");
            known.count += 1;
            assert_eq!(delivery.delivery_count(), Some(known.count), "{id}");
            if !std::mem::replace(&mut known.delivered, true) {
                assert!(!delivery.redelivered(), "{id}");
                assert!(self.last_first.is_none_or(|last| last < known.number), "{id} was overtaken");
                self.last_first = Some(known.number);
            }
            let until = self.lease.map(|lease| Instant::now() + lease);
            self.held[provider].insert(delivery.receipt(), Held { id, until });
            self.got[provider].insert(0, delivery);
        }
        count
    }

    async fn settle(&mut self, provider: usize, delivery: &Delivery, outcome: Outcome) {
        let settlement = Settlement::new(delivery.receipt(), outcome.clone());
        let settled = self.providers[provider].settle(&[settlement]).await;
        let Some(held) = self.held[provider].remove(&delivery.receipt()) else {
            assert!(settled.expect_err("not held").is_all(ErrorKind::Stale));
            return;
        };
        settled.expect("held");
        let known = self.known.get_mut(&held.id).expect("it was published");
        match outcome {
            Outcome::Ack => {
                known.done = true;
                self.acked += 1;
            }
            Outcome::Reject { .. } => {
                known.done = true;
                self.parked += 1;
            }
            Outcome::Retry { after, .. } => {
                known.not_before = Instant::now() + after;
                known.attempt += 1;
                known.count = 0;
            }
            Outcome::Requeue => {}
            Outcome::Release => known.count -= 1,
        }
    }

    async fn extend(&mut self, provider: usize, delivery: usize) {
        let Some(receipt) = self.got[provider].get(delivery).map(Delivery::receipt) else { return };
        let extended = self.providers[provider].extend(&[receipt]).await;
        match self.held[provider].get_mut(&receipt) {
            Some(held) => {
                extended.expect("held");
                held.until = self.lease.map(|lease| Instant::now() + lease);
            }
            None => assert!(extended.expect_err("not held").is_all(ErrorKind::Stale)),
        }
    }

    /// A delivery came back; `counts` is 1 if it counts.
    fn end(&mut self, held: &Held, counts: u32) {
        let known = self.known.get_mut(&held.id).expect("it was published");
        known.count -= 1 - counts;
    }

    fn drop_lost_leases(&mut self) {
        let now = Instant::now();
        for held in &mut self.held {
            held.retain(|_, held| held.until.is_none_or(|until| now < until));
        }
    }

    /// Lets all come to an end, and counts.
    async fn finish(mut self) {
        for provider in 0..PROVIDERS {
            self.step(Step::Close { provider }).await;
        }
        self.step(Step::Advance { millis: 3_600_000 }).await;
        while self.receive(0, 1).await > 0 {
            let delivery = self.got[0][0].clone();
            self.settle(0, &delivery, Outcome::Ack).await;
        }
        let left: Vec<_> = self.known.iter().filter(|(_, known)| !known.done).collect();
        assert!(left.is_empty(), "never delivered: {left:?}");
        let ledger = self.broker.ledger();
        assert_eq!(ledger.confirmed, self.known.len() as u64);
        assert_eq!((ledger.acked, ledger.ready, ledger.delayed, ledger.unsettled), (self.acked, 0, 0, 0));
        assert_eq!(ledger.parked, self.parked as u64);
        assert_eq!(self.broker.parked("q").expect("parked").len(), self.parked);
        self.broker.check().expect("sound");
    }
}

fn run(profile: Profile, steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(async {
        let mut run = Run::new(profile).await;
        for step in steps {
            run.step(step).await;
        }
        run.finish().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn amqp(steps in prop::collection::vec(step(), 1..120)) {
        run(Profile::Amqp, steps);
    }

    #[test]
    fn streams(steps in prop::collection::vec(step(), 1..120)) {
        run(Profile::Streams { lease: LEASE }, steps);
    }
}
