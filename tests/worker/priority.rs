//! Several queues as one.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use swarrot::memory::MemoryBroker;
use swarrot::prelude::*;
use swarrot::{ErrorKind, PriorityProvider, Settlement};

use crate::support::Seen;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

async fn broker(queues: &[(&str, usize)]) -> Arc<dyn Broker> {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let topology = queues.iter().fold(Topology::new(), |topology, (name, _)| topology.queue(Queue::new(*name)));
    broker.declare(&topology).await.unwrap();
    for (name, messages) in queues {
        fill(&broker, name, *messages).await;
    }
    broker
}

async fn fill(broker: &Arc<dyn Broker>, queue: &str, messages: usize) {
    let publisher = broker.publisher("", PublisherOptions::default()).await.unwrap();
    let batch: Vec<_> = (0..messages).map(|n| Outgoing::new(queue, Message::new(n.to_string()))).collect();
    assert!(publisher.publish(&batch).await.iter().all(Result::is_ok));
}

async fn provider(broker: &Arc<dyn Broker>, queue: &str) -> Arc<dyn MessageProvider> {
    broker.provider(queue, ProviderOptions::default()).await.unwrap()
}

async fn receive(provider: &PriorityProvider, max: usize) -> Vec<Delivery> {
    provider.receive(NonZeroUsize::new(max).unwrap(), Duration::ZERO).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn strict_serves_the_first_queue_first() {
    let broker = broker(&[("resets", 0), ("newsletters", 20)]).await;
    let both = [provider(&broker, "resets").await, provider(&broker, "newsletters").await];
    let worker = Worker::new(Arc::new(PriorityProvider::strict(both).unwrap())).signals_off().state(Seen::default());
    let seen = Seen::default();
    let (noting, publishing) = (seen.clone(), Arc::clone(&broker));
    let handler = move |delivery: Delivery| {
        let (seen, broker) = (noting.clone(), Arc::clone(&publishing));
        async move {
            seen.note(delivery.queue());
            if seen.len() == 5 {
                fill(&broker, "resets", 3).await;
            }
        }
    };
    let report = worker.stop_when_empty().run(handler).await.unwrap();
    assert_eq!(report.counts.acked, 23);
    let order = seen.all();
    assert!(order[..5].iter().all(|queue| queue == "newsletters"));
    assert!(order[5..8].iter().all(|queue| queue == "resets"), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn weights_share_and_nobody_starves() {
    let broker = broker(&[("a", 1000), ("b", 1000), ("c", 1000)]).await;
    for max in [1, 7] {
        let weights = [("a", 6), ("b", 3), ("c", 1)].map(|(q, weight)| (q, NonZeroU32::new(weight).unwrap()));
        let mut parts = Vec::new();
        for (queue, weight) in weights {
            parts.push((provider(&broker, queue).await, weight));
        }
        let provider = PriorityProvider::weighted(parts).unwrap();
        let mut served = BTreeMap::new();
        let mut total = 0;
        while total < 400 {
            for delivery in receive(&provider, max).await {
                *served.entry(delivery.queue().to_owned()).or_insert(0) += 1;
                total += 1;
                provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await.unwrap();
            }
        }
        for (queue, expected) in [("a", 240_i32), ("b", 120), ("c", 40)] {
            let off = served[queue] - expected;
            assert!(off.abs() <= 12, "{queue} was served {} times with max {max}", served[queue]);
        }
        provider.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_saves_nothing_up() {
    let broker = broker(&[("a", 500), ("b", 0)]).await;
    let weight = NonZeroU32::MIN;
    let parts = [(provider(&broker, "a").await, weight), (provider(&broker, "b").await, weight)];
    let provider = PriorityProvider::weighted(parts).unwrap();
    let mut order = Vec::new();
    for n in 0..300 {
        if n == 200 {
            fill(&broker, "b", 100).await;
        }
        let delivery = receive(&provider, 1).await.remove(0);
        provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await.unwrap();
        order.push(delivery.queue().to_owned());
    }
    let b = order[200..220].iter().filter(|queue| *queue == "b").count();
    assert!((9..=12).contains(&b), "b was served {b} times of 20");
}

#[tokio::test(start_paused = true)]
async fn settlements_find_their_queue() {
    let broker = broker(&[("a", 1), ("b", 1)]).await;
    let both = [provider(&broker, "a").await, provider(&broker, "b").await];
    // A provider within a provider.
    let inner: Arc<dyn MessageProvider> = Arc::new(PriorityProvider::strict(both).unwrap());
    let provider = PriorityProvider::strict([inner]).unwrap();
    let (first, second) = (receive(&provider, 1).await.remove(0), receive(&provider, 1).await.remove(0));
    assert_eq!((first.queue(), second.queue()), ("a", "b"));
    let outcomes = [(first.receipt(), Outcome::Ack), (second.receipt(), Outcome::reject("no"))];
    let settlements = outcomes.map(|(receipt, outcome)| Settlement::new(receipt, outcome));
    provider.settle(&settlements).await.unwrap();
    assert_eq!(broker.stats("b").await.unwrap().parked, Some(1));
    let error = provider.settle(&settlements).await.unwrap_err();
    let failed: Vec<_> = error.failures().iter().map(|(receipt, error)| (*receipt, error.kind())).collect();
    assert_eq!(failed, settlements.map(|s| (s.receipt, ErrorKind::Stale)));
    let foreign = Settlement::new(swarrot::Receipt::new(1, 1), Outcome::Ack);
    assert!(provider.settle(&[foreign]).await.unwrap_err().is_all(ErrorKind::Stale));
}

#[tokio::test(start_paused = true)]
async fn waits_for_whichever_comes_first() {
    let broker = broker(&[("a", 0), ("b", 0)]).await;
    let both = [provider(&broker, "a").await, provider(&broker, "b").await];
    let provider = Arc::new(PriorityProvider::strict(both).unwrap());
    let waiting = Arc::clone(&provider);
    let call = tokio::spawn(async move { waiting.receive(ONE, Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    fill(&broker, "b", 1).await;
    let deliveries = call.await.unwrap().unwrap();
    assert_eq!(deliveries[0].queue(), "b");
    let nothing = provider.receive(ONE, Duration::from_secs(1)).await.unwrap();
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn of_nothing_is_refused() {
    assert_eq!(PriorityProvider::strict([]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_broken_queue_does_not_hold_up_the_others() {
    let (healthy, broken) = (broker(&[("healthy", 50)]).await, MemoryBroker::new());
    let broken_broker = broken.clone().into_dyn();
    broken_broker.declare(&Topology::new().queue(Queue::new("broken"))).await.unwrap();
    let both = [provider(&broken_broker, "broken").await, provider(&healthy, "healthy").await];
    let provider = PriorityProvider::strict(both).unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..50 {
        broken.faults().cut();
        let delivery = provider.receive(ONE, Duration::from_secs(60)).await.unwrap().remove(0);
        assert_eq!(delivery.queue(), "healthy");
        provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Ack)]).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // It is asked again, in the same call.
    broken.faults().cut();
    fill(&broken_broker, "broken", 1).await;
    let delivery = provider.receive(ONE, Duration::from_secs(60)).await.unwrap().remove(0);
    assert_eq!(delivery.queue(), "broken");
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_all_queues_is_told() {
    let memory = MemoryBroker::new();
    let broker = memory.clone().into_dyn();
    broker.declare(&Topology::new().queue(Queue::new("a")).queue(Queue::new("b"))).await.unwrap();
    let both = [provider(&broker, "a").await, provider(&broker, "b").await];
    let provider = PriorityProvider::strict(both).unwrap();
    memory.faults().cut();
    let error = provider.receive(ONE, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(provider.receive(ONE, Duration::from_secs(1)).await.unwrap().is_empty(), "told once, then mended");
}

#[test]
fn queues_that_are_stopped_answer_at_once() {
    let (answer, answered) = std::sync::mpsc::channel();
    // On a thread of its own: a call that never waits cannot be given up on in this one.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let broker = MemoryBroker::new();
            broker.declare(&Topology::new().queue(Queue::new("a")).queue(Queue::new("b"))).await.unwrap();
            let faults = broker.faults();
            let broker: Arc<dyn Broker> = Arc::new(broker);
            let (a, b) = (provider(&broker, "a").await, provider(&broker, "b").await);
            let both = PriorityProvider::strict([a.clone(), b]).unwrap();
            assert!(receive(&both, 1).await.is_empty());
            a.stop().await.unwrap();
            // The other fails first, and is asked again after a pause.
            faults.cut();
            let began = tokio::time::Instant::now();
            assert!(both.receive(ONE, Duration::from_secs(5)).await.unwrap().is_empty());
            assert_eq!(began.elapsed().as_secs(), 5, "the other is not stopped");
            both.stop().await.unwrap();
            let began = tokio::time::Instant::now();
            assert!(both.receive(ONE, Duration::from_secs(60)).await.unwrap().is_empty());
            assert!(began.elapsed() < Duration::from_secs(1));
        });
        answer.send(()).unwrap();
    });
    answered.recv_timeout(Duration::from_secs(20)).expect("it waits for what comes, and does not keep the thread busy");
}
