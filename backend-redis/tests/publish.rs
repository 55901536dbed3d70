//! Publishing by many callers at once.

mod support;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use support::{PATIENCE, max, provider, publisher, run, secs, server, with_queue, words};
use swarrot_conformance::brokers::Redis;
use swarrot_core::{ErrorKind, Message, MessagePublisherExt as _, Outgoing};
use tokio::time::timeout;

fn outgoing(number: usize) -> Outgoing {
    Outgoing::new("q", Message::new(number.to_string()))
}

/// Scripts that the server has run.
async fn scripts(server: &Redis) -> u64 {
    let stats: String = run(server, &words("INFO commandstats")).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn calls_that_come_together_go_together() {
    let server = server();
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    publisher.publish_one(outgoing(0)).await.expect("published");
    let before = scripts(&server).await;
    let results = join_all((1..=200).map(|number| publisher.publish_one(outgoing(number)))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // The first goes alone, and all others with the second.
    assert_eq!(scripts(&server).await - before, 2);
    let provider = provider(&broker, "q", 201).await;
    let mut bodies = Vec::new();
    while bodies.len() < 201 {
        let some = provider.receive(max(201), secs(5)).await.expect("receives");
        assert!(!some.is_empty(), "only {} came", bodies.len());
        bodies.extend(some.iter().map(|delivery| String::from_utf8_lossy(delivery.body()).into_owned()));
    }
    assert!(bodies.into_iter().eq((0..=200).map(|number| number.to_string())), "in the order of the calls");
}

#[tokio::test]
async fn each_call_gets_its_own_results() {
    let server = server();
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    let batch = |number: usize| {
        let mut batch = vec![outgoing(number), outgoing(number), outgoing(number)];
        batch[number % 3].routing_key = "no-such-queue".to_owned();
        batch[(number + 1) % 3].routing_key = "k".repeat(300);
        batch
    };
    let results = join_all((0..60).map(|number| {
        let (publisher, batch) = (&publisher, batch(number));
        async move { publisher.publish(&batch).await }
    }));
    for (number, results) in results.await.into_iter().enumerate() {
        let kinds: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
        assert_eq!(kinds[number % 3], Err(ErrorKind::Unroutable), "{kinds:?}");
        assert_eq!(kinds[(number + 1) % 3], Err(ErrorKind::TooLarge), "{kinds:?}");
        assert_eq!(kinds[(number + 2) % 3], Ok(()), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_dropped_call_passes_its_turn_on() {
    let server = server();
    let broker = with_queue(&server).await;
    let publisher = publisher(&broker).await;
    let mut first = publisher.publish_one(outgoing(1));
    let mut second = publisher.publish_one(outgoing(2));
    let mut third = publisher.publish_one(outgoing(3));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert!((&mut third).now_or_never().is_none());
    // One that sends, and one that waits.
    drop(first);
    drop(second);
    timeout(PATIENCE, third).await.expect("it gets the turn").expect("published");
    timeout(PATIENCE, publisher.publish_one(outgoing(4))).await.expect("so do later ones").expect("published");
}
