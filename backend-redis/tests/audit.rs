//! What becomes of every message while servers, connections and workers die again and again.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{connect, declare, max, ms, provider, publisher, secs, server};
use swarrot_conformance::proxy::{Direction, Proxy};
use swarrot_core::topology::Queue;
use swarrot_core::{Message, Outcome, Outgoing, Settlement};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What was confirmed, and how often each message was delivered.
#[derive(Default)]
struct Audit {
    confirmed: Mutex<Vec<String>>,
    unconfirmed: Mutex<usize>,
    delivered: Mutex<HashMap<String, usize>>,
    done: AtomicBool,
}

const PUBLISHERS: usize = 4;
const PREFETCH: u16 = 50;

impl Audit {
    /// Publishes in batches until it is done; a message is given up on after its own time.
    fn publish(self: &Arc<Self>, url: String, number: usize) -> JoinHandle<()> {
        let audit = Arc::clone(self);
        tokio::spawn(async move {
            let broker = connect(&url).await;
            let publisher = publisher(&broker).await;
            for batch in 0.. {
                if audit.done.load(Ordering::Relaxed) {
                    return;
                }
                let ids: Vec<String> = (0..10).map(|i| format!("{number}-{batch}-{i}")).collect();
                let messages: Vec<_> =
                    ids.iter().map(|id| Outgoing::new("q", Message::new(id.clone()).id(id.clone()))).collect();
                for (id, result) in ids.into_iter().zip(publisher.publish(&messages).await) {
                    match result {
                        Ok(()) => audit.confirmed.lock().expect("no panic").push(id),
                        Err(error) => {
                            assert!(error.is_temporary(), "{error:?}");
                            *audit.unconfirmed.lock().expect("no panic") += 1;
                        }
                    }
                }
                sleep(ms(2)).await;
            }
        })
    }

    /// Receives and acks until it is aborted. `retries`: a tenth is tried again a little later.
    fn consume(self: &Arc<Self>, url: String, retries: bool) -> JoinHandle<()> {
        let audit = Arc::clone(self);
        tokio::spawn(async move {
            let broker = connect(&url).await;
            let provider = provider(&broker, "q", PREFETCH).await;
            loop {
                let some = match provider.receive(max(20), secs(1)).await {
                    Ok(some) => some,
                    Err(error) => {
                        assert!(error.is_temporary(), "{error:?}");
                        sleep(ms(20)).await;
                        continue;
                    }
                };
                let mut settlements = Vec::new();
                for delivery in some {
                    let retry = retries && delivery.attempt() == 1 && fastrand::u8(..) < 25;
                    if retry {
                        settlements.push(Settlement::new(delivery.receipt(), Outcome::retry(ms(50))));
                        continue;
                    }
                    *audit.delivered.lock().expect("no panic").entry(support::body(&delivery)).or_default() += 1;
                    settlements.push(Settlement::new(delivery.receipt(), Outcome::Ack));
                }
                while let Err(error) = provider.settle(&settlements).await {
                    let again: Vec<_> = error
                        .failures()
                        .iter()
                        .filter(|(_, e)| e.is_temporary())
                        .map(|(receipt, _)| *receipt)
                        .collect();
                    settlements.retain(|settlement| again.contains(&settlement.receipt));
                    if settlements.is_empty() {
                        break;
                    }
                    sleep(ms(20)).await;
                }
            }
        })
    }

    /// Waits until all that was confirmed has come, and says what became of it.
    async fn conclude(&self, what: &str, faults: usize, publishers: Vec<JoinHandle<()>>) {
        self.done.store(true, Ordering::Relaxed);
        for publisher in publishers {
            publisher.await.expect("only temporary errors");
        }
        let confirmed = self.confirmed.lock().expect("no panic").clone();
        let deadline = Instant::now() + secs(60);
        let lost = loop {
            let lost = {
                let delivered = self.delivered.lock().expect("no panic");
                confirmed.iter().filter(|id| !delivered.contains_key(*id)).count()
            };
            if lost == 0 || Instant::now() > deadline {
                break lost;
            }
            sleep(ms(100)).await;
        };
        sleep(secs(1)).await;
        let delivered = self.delivered.lock().expect("no panic");
        let duplicated: usize = delivered.values().map(|count| count - 1).sum();
        println!(
            "{what} ×{faults}: confirmed {}, without an answer {}, delivered {}, lost {lost}, duplicated {duplicated}",
            confirmed.len(),
            self.unconfirmed.lock().expect("no panic"),
            delivered.len(),
        );
        assert_eq!(lost, 0);
        assert!(duplicated <= faults * 2 * usize::from(PREFETCH), "more than what was in hand at each fault");
        assert!(confirmed.len() > 500, "next to nothing was published");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again() {
    let server = Arc::new(server());
    let url = format!("{}?lease=3s", server.url());
    declare(&connect(&url).await, Queue::new("q")).await;
    let audit = Arc::<Audit>::default();
    let consumers = [audit.consume(url.clone(), true), audit.consume(url.clone(), true)];
    let publishers: Vec<_> = (0..PUBLISHERS).map(|number| audit.publish(url.clone(), number)).collect();
    for _ in 0..5 {
        sleep(ms(1500)).await;
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || server.restart()).await.expect("no panic").expect("restarts");
    }
    sleep(secs(1)).await;
    audit.conclude("server killed", 5, publishers).await;
    consumers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_anywhere() {
    let server = server();
    let proxy = Proxy::start(server.addr()).await.expect("a proxy");
    let url = format!("redis://{}?lease=3s", proxy.addr());
    declare(&connect(&server.url()).await, Queue::new("q")).await;
    let audit = Arc::<Audit>::default();
    let consumers = [audit.consume(url.clone(), true), audit.consume(url.clone(), true)];
    let publishers: Vec<_> = (0..PUBLISHERS).map(|number| audit.publish(url.clone(), number)).collect();
    for cut in 0..30_u64 {
        sleep(ms(250)).await;
        // In the middle of an answer or of a command, at all sorts of places.
        let direction = if cut % 2 == 0 { Direction::ToClient } else { Direction::ToServer };
        proxy.cut_after(direction, fastrand::u64(0..3000));
    }
    sleep(secs(1)).await;
    proxy.disarm(Direction::ToClient);
    proxy.disarm(Direction::ToServer);
    let cuts = usize::try_from(proxy.counters().cuts).expect("few");
    assert!(cuts >= 15, "{cuts} cuts");
    audit.conclude("connections cut", cuts, publishers).await;
    consumers.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_again_and_again() {
    let server = server();
    let url = format!("{}?lease=1s", server.url());
    declare(&connect(&url).await, Queue::new("q")).await;
    let audit = Arc::<Audit>::default();
    let publishers: Vec<_> = (0..PUBLISHERS).map(|number| audit.publish(url.clone(), number)).collect();
    for _ in 0..10 {
        // A runtime that ends at once takes all with it, with nothing given back.
        let doomed =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (audit, url) = (Arc::clone(&audit), url.clone());
        doomed.spawn(async move { audit.consume(url, false).await });
        sleep(ms(700)).await;
        doomed.shutdown_background();
    }
    let survivor = audit.consume(url, false);
    sleep(Duration::from_secs(2)).await;
    audit.conclude("worker dead", 10, publishers).await;
    survivor.abort();
}
