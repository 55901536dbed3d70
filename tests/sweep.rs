//! Going once through a queue.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use swarrot::memory::{MemoryBroker, Profile};
use swarrot::prelude::*;
use swarrot::{DeadLetter, Sweep};
use tokio::time::sleep;

const MANY: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");
const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// A broker with the queues `a` and `b`, and these messages in `a`.
async fn broker_with(profile: Profile, bodies: &[&str]) -> Arc<dyn Broker> {
    let broker = MemoryBroker::with_profile(profile).into_dyn();
    let queue = |name| Queue::new(name).dead_letter(DeadLetter::Drop);
    broker.declare(&Topology::new().queue(queue("a")).queue(queue("b"))).await.expect("declares");
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    for body in bodies {
        publisher.publish_one(Outgoing::new("a", Message::new((*body).to_owned()))).await.expect("publishes");
    }
    broker
}

async fn bodies(broker: &dyn Broker, queue: &str) -> Vec<String> {
    let messages = broker.peek(queue, MANY).await.expect("looks");
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_is_done_goes_elsewhere_or_stays() {
    let broker = broker_with(Profile::Amqp, &["stays", "goes", "is done", "nowhere"]).await;
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    let mut sweep = Sweep::open(&*broker, "a").await.expect("opens");
    assert_eq!(sweep.left(), 4);
    let seen = sweep.next(MANY).await.expect("all");
    assert_eq!(seen.len(), 4);
    sweep.done(&[seen[2].receipt()]).await.expect("is done");
    let to = |index: usize, queue: &str| (seen[index].receipt(), Outgoing::copy(queue, seen[index].moved_copy()));
    let results = sweep.forward(&*publisher, vec![to(1, "b"), to(3, "no-such-queue")]).await;
    let kinds: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
    assert_eq!(kinds, [Ok(()), Err(ErrorKind::Unroutable)]);
    assert!(sweep.next(MANY).await.expect("the end").is_empty());
    // Nobody else gets what it holds.
    assert_eq!(broker.stats("a").await.expect("counts").ready, 0);
    sweep.close().await.expect("closes");
    assert_eq!(bodies(&*broker, "a").await, ["stays", "nowhere"]);
    assert_eq!(bodies(&*broker, "b").await, ["goes"]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_though_everything_comes_back() {
    let broker = broker_with(Profile::Amqp, &["1", "2", "3"]).await;
    let publisher = broker.publisher("", PublisherOptions::default()).await.expect("a publisher");
    let mut sweep = Sweep::open(&*broker, "a").await.expect("opens");
    let mut moved = 0;
    loop {
        let seen = sweep.next(ONE).await.expect("one");
        let Some(delivery) = seen.first() else { break };
        let again = vec![(delivery.receipt(), Outgoing::copy("a", delivery.moved_copy()))];
        sweep.forward(&*publisher, again).await.remove(0).expect("goes to where it came from");
        moved += 1;
    }
    assert_eq!(moved, 3);
    sweep.close().await.expect("closes");
    assert_eq!(bodies(&*broker, "a").await, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn so_many_at_most() {
    let broker = broker_with(Profile::Amqp, &["1", "2", "3"]).await;
    let mut sweep = Sweep::open_at_most(&*broker, "a", 2).await.expect("opens");
    assert_eq!(sweep.next(MANY).await.expect("two").len(), 2);
    assert!(sweep.next(MANY).await.expect("no more").is_empty());
    // The third one is not taken, not even in advance.
    assert_eq!(broker.stats("a").await.expect("counts").ready, 1);
    sweep.close().await.expect("closes");
    assert_eq!(bodies(&*broker, "a").await, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_held_is_seen_too() {
    let lease = Duration::from_secs(3);
    let broker = broker_with(Profile::Streams { lease }, &["1", "2"]).await;
    let dies = broker.provider("a", ProviderOptions::default()).await.expect("a provider");
    assert_eq!(dies.receive(MANY, Duration::ZERO).await.expect("both").len(), 2);
    sleep(2 * lease).await;
    let mut sweep = Sweep::open(&*broker, "a").await.expect("opens");
    assert_eq!(sweep.next(MANY).await.expect("both").len(), 2);
    assert!(sweep.next(MANY).await.expect("the end").is_empty());
    sweep.close().await.expect("closes");
}

#[tokio::test(start_paused = true)]
async fn what_others_took_is_not_waited_for() {
    let broker = broker_with(Profile::Amqp, &["1", "2"]).await;
    let mut sweep = Sweep::open(&*broker, "a").await.expect("opens");
    let other = broker.provider("a", ProviderOptions::default()).await.expect("a provider");
    assert_eq!(other.receive(ONE, Duration::ZERO).await.expect("one").len(), 1);
    assert_eq!(sweep.next(MANY).await.expect("the other").len(), 1);
    assert!(sweep.next(MANY).await.expect("the end").is_empty());
    assert_eq!(sweep.left(), 1);
    sweep.close().await.expect("closes");
}

#[tokio::test(start_paused = true)]
async fn what_it_holds_stays_its_own_beyond_a_lease() {
    let lease = Duration::from_secs(3);
    let broker = broker_with(Profile::Streams { lease }, &["1", "2", "3", "4", "5", "6"]).await;
    let mut sweep = Sweep::open(&*broker, "a").await.expect("opens");
    let mut seen = Vec::new();
    loop {
        let next = sweep.next(ONE).await.expect("one");
        if next.is_empty() {
            break;
        }
        seen.extend(next);
        sleep(lease / 2).await;
    }
    assert_eq!(seen.len(), 6);
    let receipts: Vec<_> = seen.iter().map(swarrot::Delivery::receipt).collect();
    sweep.done(&receipts).await.expect("all are still its own");
    sweep.close().await.expect("closes");
    assert_eq!(broker.stats("a").await.expect("counts").ready, 0);
}
