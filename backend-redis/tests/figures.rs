//! Figures: what work costs the server, and how late what was held back arrives.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{connect, declare, max, ms, one, provider, publisher, run, secs, server, settle, with_queue, words};
use swarrot_conformance::brokers::{Redis, Start};
use swarrot_core::topology::Queue;
use swarrot_core::{
    Message, MessageProvider, MessagePublisher, MessagePublisherExt as _, Outcome, Outgoing, Settlement,
};

/// How often the server was asked to run commands of these names so far. What scripts run within counts as well.
async fn calls(server: &Redis, names: &[&str]) -> u64 {
    let stats: String = run(server, &words("INFO commandstats")).await;
    let of = |name: &&str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    names.iter().map(of).sum()
}

async fn publish(publisher: &dyn MessagePublisher, count: usize, batch: usize, delay: Option<Duration>) {
    let mut left = count;
    while left > 0 {
        let size = left.min(batch);
        let messages: Vec<_> = (0..size)
            .map(|i| {
                let outgoing = Outgoing::new("q", Message::new(format!("message {}", left - i)));
                delay.map_or(outgoing.clone(), |delay| outgoing.delay(delay))
            })
            .collect();
        for result in publisher.publish(&messages).await {
            result.expect("publishes");
        }
        left -= size;
    }
}

async fn consume(provider: &dyn MessageProvider, count: usize, batch: usize) {
    let mut left = count;
    let deadline = Instant::now() + secs(600);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} are missing");
        let some = provider.receive(max(left.min(batch)), secs(5)).await.expect("receives");
        let acks: Vec<_> = some.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        provider.settle(&acks).await.expect("acks");
        left -= some.len();
    }
}

/// An entry of the server's log of slow commands: number, time, duration in microseconds, the command, client and its name.
type Slow = (u64, u64, u64, Vec<Vec<u8>>, String, String);

/// The longest run of a command since the last reset, in microseconds, with its name.
async fn slowest(server: &Redis) -> (u64, String) {
    let entries: Vec<Slow> = run(server, &words("SLOWLOG GET 1000")).await;
    let slowest = entries.into_iter().max_by_key(|entry| entry.2);
    slowest.map_or((0, String::new()), |entry| {
        (entry.2, entry.3.iter().take(2).map(|word| String::from_utf8_lossy(word) + " ").collect())
    })
}

#[tokio::test]
async fn round_trips_follow_the_batch() {
    let server = server();
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    publish(&*publisher, 1, 1, None).await;
    let warm = provider(&broker, "q", 1).await;
    consume(&*warm, 1, 1).await;
    warm.close().await.expect("closes");
    for batch in [1_u16, 10, 100] {
        let count = 1000;
        let before = calls(&server, &["evalsha"]).await;
        publish(&*publisher, count, batch.into(), None).await;
        let sends = calls(&server, &["evalsha"]).await - before;
        let provider = provider(&broker, "q", batch).await;
        let before = (calls(&server, &["xreadgroup"]).await, calls(&server, &["evalsha"]).await);
        consume(&*provider, count, batch.into()).await;
        let (reads, scripts) =
            (calls(&server, &["xreadgroup"]).await - before.0, calls(&server, &["evalsha"]).await - before.1);
        let each = |calls: u64| f64::from(u32::try_from(calls).expect("few")) / 1000.0;
        println!(
            "batches of {batch}: round trips for each message: publish {:.3}, read {:.3}, scripts to settle and look after \
             the queue {:.3}",
            each(sends),
            each(reads),
            each(scripts)
        );
        let expected = count as u64 / u64::from(batch);
        assert_eq!(sends, expected);
        // Ends of waits, the beginning and the end aside.
        assert!(reads <= expected + 30 && scripts <= expected + 30, "{reads} reads, {scripts} scripts");
        provider.close().await.expect("closes");
    }
}

#[tokio::test]
async fn a_hundred_thousand_due_at_once_hold_nobody_up() {
    due_at_once(100_000).await;
}

async fn due_at_once(count: usize) {
    // Not one that waits for its disk at each step.
    let server = Redis::start(&Start::new()).expect("a server");
    run::<()>(&server, &words("CONFIG SET slowlog-log-slower-than 500 slowlog-max-len 100000")).await;
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    let start = Instant::now();
    publish(&*publisher, count, 1000, Some(secs(40))).await;
    let left = secs(40).saturating_sub(start.elapsed());
    println!("{count} delayed messages published in {:?}", start.elapsed());
    tokio::time::sleep(left + ms(100)).await;
    run::<()>(&server, &words("SLOWLOG RESET")).await;
    let start = Instant::now();
    let provider = provider(&broker, "q", 1000).await;
    consume(&*provider, count, 1000).await;
    let (longest, name) = slowest(&server).await;
    println!(
        "{count} due at once: received and acked in {:?}; the longest command took {longest} µs ({name})",
        start.elapsed()
    );
    assert!(longest < 50_000, "{longest} µs in {name}");
}

#[tokio::test]
async fn what_is_due_comes_in_time_to_an_idle_worker() {
    let server = server();
    let broker = with_queue(&server).await;
    let elsewhere = connect(&server.url()).await;
    let provider = provider(&broker, "q", 10).await;
    assert!(provider.receive(max(1), ms(500)).await.expect("receives").is_empty());
    let publisher = publisher(&elsewhere).await;
    let mut late: Vec<Duration> = Vec::new();
    // First one that is due late, so that the worker waits for that; then ones that are due before.
    publisher.publish_one(Outgoing::new("q", Message::new("late")).delay(secs(3600))).await.expect("publishes");
    for i in 0..50 {
        let delay = ms(100 + i * 7);
        let at = Instant::now();
        publisher.publish_one(Outgoing::new("q", Message::new("x")).delay(delay)).await.expect("publishes");
        let delivery = loop {
            if let Some(delivery) = provider.receive(max(1), secs(5)).await.expect("receives").pop() {
                break delivery;
            }
        };
        // Measured from before the publish: the time on the way there is counted as lateness.
        late.push(at.elapsed().saturating_sub(delay));
        settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
    }
    late.sort();
    println!("lateness on an idle worker: median {:?}, 90 of 100 {:?}, worst {:?}", late[25], late[45], late[49]);
    assert!(late[25] < ms(50), "{late:?}");
    let before = calls(&server, &["xreadgroup", "evalsha"]).await;
    assert!(provider.receive(max(1), secs(12)).await.expect("receives").is_empty());
    let idle = calls(&server, &["xreadgroup", "evalsha"]).await - before;
    println!("commands of an idle provider in 12 s: {idle}");
    assert!(idle <= 8, "{idle} commands of an idle provider in 12 s");
}

#[tokio::test]
async fn what_is_given_back_wakes_others() {
    let server = server();
    let broker = with_queue(&server).await;
    // Nobody who does not ask for so long is given anything in advance.
    let theirs = provider(&connect(&format!("{}?lease=300ms", server.url())).await, "q", 10).await;
    let publisher = publisher(&broker).await;
    let mut took: Vec<Duration> = Vec::new();
    for outcome in [Outcome::Release, Outcome::Requeue].into_iter().cycle().take(20) {
        let mine = provider(&broker, "q", 1).await;
        publisher.publish_one(Outgoing::new("q", Message::new("x"))).await.expect("publishes");
        // Whoever waits longest gets it; it has to be this one.
        let delivery = one(&*mine).await;
        mine.stop().await.expect("stops");
        let waiting = {
            let theirs = Arc::clone(&theirs);
            tokio::spawn(async move { (one(&*theirs).await, Instant::now()) })
        };
        tokio::time::sleep(ms(100)).await;
        let given = Instant::now();
        settle(&*mine, &delivery, outcome).await.expect("gives back");
        let (delivery, came) = waiting.await.expect("no panic");
        took.push(came.saturating_duration_since(given));
        settle(&*theirs, &delivery, Outcome::Ack).await.expect("acks");
        mine.close().await.expect("closes");
        // It waits no more, so that the next one comes first.
        tokio::time::sleep(ms(350)).await;
    }
    took.sort();
    println!("given back, it reached one that waits after {:?} (median), {:?} (worst)", took[10], took[19]);
    assert!(took[10] < ms(100), "{took:?}");
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn memory_is_flat_over_a_million_messages() {
    let server = Redis::start(&Start::new()).expect("a server");
    let broker = connect(&server.url()).await;
    declare(&broker, Queue::new("q")).await;
    let publisher = publisher(&broker).await;
    let provider = provider(&broker, "q", 1000).await;
    let used = async || {
        let info: String = run(&server, &words("INFO memory")).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("there");
        line.trim().parse::<u64>().expect("a number")
    };
    publish(&*publisher, 10_000, 1000, None).await;
    consume(&*provider, 10_000, 1000).await;
    let before = used().await;
    let start = Instant::now();
    for _ in 0..100 {
        publish(&*publisher, 10_000, 1000, None).await;
        consume(&*provider, 10_000, 1000).await;
    }
    let took = start.elapsed();
    let after = used().await;
    let stream: u64 = run(&server, &words("MEMORY USAGE swarrot:{q}:stream SAMPLES 0")).await;
    println!("a million messages in {took:?}: used memory {before} before, {after} after; the stream {stream} bytes");
    assert!(after < before + (1 << 20) && stream < 65_536, "{before}, {after}, {stream}");
}
