//! Publishing by many callers at once.

mod support;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use support::{
    PATIENCE, body, connect, declare, max, ms, one, provider, publisher, run, secs, server, settle, take, with_queue,
    words,
};
use swarrot_conformance::brokers::Redis;
use swarrot_core::topology::{Exchange, Queue, Topology};
use swarrot_core::{
    Broker as _, ErrorKind, Message, MessagePublisherExt as _, Outcome, Outgoing, PublisherOptions, Result,
};
use tokio::time::{Instant, timeout};

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
    // The first two go alone, and all others in two halves.
    let ran = scripts(&server).await - before;
    assert!(ran <= 6, "{ran} scripts for 200 calls");
    let provider = provider(&broker, "q", 201).await;
    let mut bodies = Vec::new();
    while bodies.len() < 201 {
        let some = provider.receive(max(201), secs(5)).await.expect("receives");
        assert!(!some.is_empty(), "only {} came", bodies.len());
        bodies.extend(some.iter().map(|delivery| String::from_utf8_lossy(delivery.body()).parse::<usize>()));
    }
    bodies.sort_unstable_by_key(|body| body.clone().ok());
    assert!(bodies.into_iter().eq((0..=200).map(Ok)), "each message once");
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
async fn what_differs_within_a_call_is_kept_apart() {
    let server = server();
    let broker = with_queue(&server).await;
    let (exchange, bounded) = ("e", Queue::new("bounded").max_length(5));
    let topology = Topology::new().queue(bounded).exchange(Exchange::fanout(exchange));
    broker.declare(&topology.bind(exchange, "q", "").bind(exchange, "bounded", "")).await.expect("declares");
    let to = |queue: &str, number: usize| Outgoing::new(queue, Message::new(number.to_string()));
    let batch = [
        to("q", 0),
        to("q", 1),
        to("bounded", 2),
        to("bounded", 3),
        to("bounded", 4),
        to("q", 5).delay(ms(1)),
        to("q", 6).delay(secs(3600)),
        to("none", 7),
        to("q", 8),
        to("bounded", 9).delay(secs(3600)),
        to("bounded", 10),
    ];
    let kinds = |results: Vec<Result<()>>| -> Vec<_> {
        results.into_iter().map(|result| result.map_err(|error| error.kind())).collect()
    };
    let mut expected = vec![Ok(()); 11];
    expected[7] = Err(ErrorKind::Unroutable);
    assert_eq!(kinds(publisher(&broker).await.publish(&batch).await), expected);
    // There is room in all queues for none of these, or for the first of them.
    for (room, bodies) in [(0, 20..23), (1, 30..33)] {
        let provider = provider(&broker, "bounded", 1).await;
        for _ in 0..room {
            settle(&*provider, &one(&*provider).await, Outcome::Ack).await.expect("settles");
        }
        provider.close().await.expect("closes");
        let fan = broker.publisher(exchange, PublisherOptions::default()).await.expect("a publisher");
        let expected: Vec<_> = (0..3).map(|n| if n < room { Ok(()) } else { Err(ErrorKind::Rejected) }).collect();
        assert_eq!(kinds(fan.publish(&bodies.map(outgoing).collect::<Vec<_>>()).await), expected, "{room}");
    }
    for (queue, there) in [("q", vec!["0", "1", "8", "5", "30"]), ("bounded", vec!["3", "4", "10", "30"])] {
        let provider = provider(&broker, queue, 10).await;
        let mut bodies: Vec<_> = take(&*provider, there.len()).await.iter().map(body).collect();
        // When the delay of one is over is the server's affair.
        let late = bodies.iter().position(|body| body == "5").map(|at| bodies.remove(at));
        assert_eq!(late.is_some(), queue == "q");
        assert!(bodies.iter().eq(there.iter().filter(|body| **body != "5")), "{queue}: {bodies:?}");
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
    let mut fourth = publisher.publish_one(outgoing(4));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert!((&mut third).now_or_never().is_none() && (&mut fourth).now_or_never().is_none());
    // Two that send, and one that waits.
    drop(first);
    drop(second);
    drop(third);
    timeout(PATIENCE, fourth).await.expect("it gets the turn").expect("published");
    timeout(PATIENCE, publisher.publish_one(outgoing(5))).await.expect("so do later ones").expect("published");
}

#[tokio::test]
async fn a_call_that_is_refused_harms_no_other() {
    let server = server();
    let broker = with_queue(&server).await;
    declare(&broker, Queue::new("secret")).await;
    let rules = "ACL SETUSER part on >word ~swarrot:{q}:* ~swarrot:{/}:* +@all";
    run::<String>(&server, &words(rules)).await;
    let url = server.url().replacen("redis://", "redis://part:word@", 1);
    let partial = connect(&url).await;
    let publisher = publisher(&partial).await;
    let results = join_all((0..60).map(|number| {
        let mut outgoing = outgoing(number);
        if number % 20 == 10 {
            outgoing.routing_key = "secret".to_owned();
        }
        publisher.publish_one(outgoing)
    }));
    for (number, result) in results.await.into_iter().enumerate() {
        let expected = if number % 20 == 10 { Err(ErrorKind::AccessRefused) } else { Ok(()) };
        assert_eq!(result.map_err(|error| error.kind()), expected, "{number}");
    }
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_keeps_its_deadline() {
    let server = server();
    let broker = with_queue(&server).await;
    let options = PublisherOptions::default().timeout(ms(500));
    let publisher = broker.publisher("", options).await.expect("a publisher");
    publisher.publish_one(outgoing(0)).await.expect("published");
    run::<String>(&server, &words("CLIENT PAUSE 3000 ALL")).await;
    let begun = Instant::now();
    let results = join_all((1..=10).map(|number| publisher.publish_one(outgoing(number)))).await;
    let took = begun.elapsed();
    let kinds: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
    // Two were sent, and nobody answered; the others were not, or were on their way when their time was up.
    assert!(kinds[..2].iter().all(|kind| *kind == Err(ErrorKind::Unknown)), "{kinds:?}");
    assert!(kinds.iter().all(|kind| matches!(kind, Err(ErrorKind::Timeout | ErrorKind::Unknown))), "{kinds:?}");
    assert!(took < ms(2500), "{took:?}");
}
