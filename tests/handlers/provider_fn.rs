//! Providers made of an async closure keep the contract.

use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::Seen;
use swarrot::prelude::*;
use swarrot::{ConnectionState, Error, FnProvider, Receipt, provider_fn};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn up_to(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Bodies `0`, `1`, … up to this many, each after `every`.
fn numbers(count: usize, every: Duration) -> FnProvider {
    let mut next = 0;
    provider_fn("numbers", move || {
        let number = next;
        next += 1;
        async move {
            if !every.is_zero() {
                sleep(every).await;
            }
            Ok((number < count).then(|| Message::new(number.to_string())))
        }
    })
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| std::str::from_utf8(delivery.body()).unwrap()).collect()
}

fn settle(delivery: &Delivery, outcome: Outcome) -> [Settlement; 1] {
    [Settlement::new(delivery.receipt(), outcome)]
}

#[tokio::test(start_paused = true)]
async fn a_worker_handles_what_the_source_gives() {
    let seen = Seen::default();
    let worker = Worker::new(Arc::new(numbers(5, SECOND))).state(seen.clone()).signals_off().concurrency(2);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |State(seen): State<Seen>, body: String| seen.note(body)));
    sleep(10 * SECOND).await;
    assert_eq!(seen.all(), ["0", "1", "2", "3", "4"]);
    assert!(handle.health().is_healthy());
    handle.stop();
    assert_eq!(running.await.unwrap().unwrap().counts.acked, 5);
}

#[tokio::test(start_paused = true)]
async fn receives_what_is_ready_up_to_max_and_waits_for_the_first() {
    let provider = numbers(7, Duration::ZERO);
    assert_eq!(bodies(&provider.receive(up_to(3), SECOND).await.unwrap()), ["0", "1", "2"]);
    assert_eq!(bodies(&provider.receive(up_to(100), SECOND).await.unwrap()), ["3", "4", "5", "6"]);
    let start = Instant::now();
    assert!(provider.receive(up_to(1), 5 * SECOND).await.unwrap().is_empty(), "the source has ended");
    assert_eq!(start.elapsed().as_secs(), 5, "an ended source is waited for like an empty queue");
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_or_too_short_loses_nothing() {
    let provider = numbers(2, 10 * SECOND);
    assert!(provider.receive(up_to(1), 4 * SECOND).await.unwrap().is_empty());
    assert!(timeout(3 * SECOND, provider.receive(up_to(1), 60 * SECOND)).await.is_err(), "dropped");
    let start = Instant::now();
    assert_eq!(bodies(&provider.receive(up_to(1), 60 * SECOND).await.unwrap()), ["0"]);
    assert_eq!(start.elapsed().as_secs(), 3, "the source went on meanwhile");
}

#[tokio::test(start_paused = true)]
async fn each_delivery_goes_to_one_of_several_callers() {
    let provider = numbers(10, SECOND);
    let take = async || {
        let mut taken = Vec::new();
        while let Some(delivery) = provider.receive(up_to(1), 3 * SECOND).await.unwrap().pop() {
            taken.push(String::from_utf8(delivery.body().to_vec()).unwrap());
        }
        taken
    };
    let (one, two) = tokio::join!(take(), take());
    assert!(!one.is_empty() && !two.is_empty());
    let mut all = [one, two].concat();
    all.sort_unstable();
    assert_eq!(all, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_prefetch_bounds_what_is_unsettled() {
    let provider = numbers(10, Duration::ZERO);
    provider.set_prefetch(NonZeroU16::new(2).unwrap()).await.unwrap();
    let held = provider.receive(up_to(10), SECOND).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(provider.receive(up_to(10), SECOND).await.unwrap().is_empty());
    let settling = async {
        sleep(SECOND).await;
        provider.settle(&settle(&held[0], Outcome::Ack)).await.unwrap();
    };
    let (more, ()) = tokio::join!(provider.receive(up_to(10), 60 * SECOND), settling);
    assert_eq!(bodies(&more.unwrap()), ["2"], "a settlement makes room for one that waits already");
}

#[tokio::test(start_paused = true)]
async fn outcomes() {
    let provider = numbers(1, Duration::ZERO);
    let receive = async || provider.receive(up_to(10), SECOND).await.unwrap().pop();
    let first = receive().await.unwrap();
    assert_eq!((first.redelivered(), first.delivery_count(), first.queue()), (false, Some(1), "numbers"));
    assert!(!first.id().is_empty());
    provider.settle(&settle(&first, Outcome::Requeue)).await.unwrap();
    let second = receive().await.unwrap();
    assert_eq!((second.redelivered(), second.delivery_count(), second.attempt()), (true, Some(2), 1));
    provider.settle(&settle(&second, Outcome::Release)).await.unwrap();
    let third = receive().await.unwrap();
    assert_eq!(third.delivery_count(), Some(2), "given back uncounted");
    let delayed = provider.settle(&settle(&third, Outcome::retry(SECOND))).await.unwrap_err();
    assert!(delayed.is_all(ErrorKind::Unsupported), "{delayed:?}");
    let why = Outcome::Retry { after: Duration::ZERO, reason: Some("again".into()) };
    provider.settle(&settle(&third, why)).await.unwrap();
    let fourth = receive().await.unwrap();
    assert_eq!((fourth.attempt(), fourth.id(), fourth.routing_key()), (2, first.id(), "numbers"));
    assert_eq!(fourth.message().failure().unwrap().reason.as_deref(), Some("again"));
    provider.settle(&settle(&fourth, Outcome::reject("no"))).await.unwrap();
    assert!(receive().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn receipts_that_are_not_held_are_stale() {
    let provider = numbers(2, Duration::ZERO);
    let held = provider.receive(up_to(2), SECOND).await.unwrap();
    provider.settle(&settle(&held[0], Outcome::Ack)).await.unwrap();
    let unknown = Receipt::new(9, 9);
    let all = [held[0].receipt(), unknown, held[1].receipt()].map(|receipt| Settlement::new(receipt, Outcome::Ack));
    let error = provider.settle(&all).await.unwrap_err();
    assert!(error.is_all(ErrorKind::Stale), "{error:?}");
    assert_eq!(error.failures().iter().map(|(receipt, _)| *receipt).collect::<Vec<_>>(), [held[0].receipt(), unknown]);
    provider.extend(&[unknown]).await.expect("there are no leases");
}

#[tokio::test(start_paused = true)]
async fn stopped_it_gives_nothing_more_and_settles_what_it_gave() {
    let provider = numbers(10, Duration::ZERO);
    let held = provider.receive(up_to(2), SECOND).await.unwrap();
    let stopping = async {
        sleep(SECOND).await;
        provider.stop().await.unwrap();
        provider.stop().await.unwrap();
    };
    provider.set_prefetch(NonZeroU16::new(2).unwrap()).await.unwrap();
    let start = Instant::now();
    let (received, ()) = tokio::join!(provider.receive(up_to(1), 60 * SECOND), stopping);
    assert!(received.unwrap().is_empty() && start.elapsed() == SECOND, "it wakes a call that waits");
    provider.settle(&settle(&held[0], Outcome::Requeue)).await.unwrap();
    assert!(provider.receive(up_to(1), SECOND).await.unwrap().is_empty());
    provider.settle(&settle(&held[1], Outcome::Ack)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closed_it_refuses_everything() {
    let provider = Arc::new(numbers(10, 3600 * SECOND));
    assert_eq!(provider.connection(), ConnectionState::Connected);
    let waiting = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move { provider.receive(up_to(1), 600 * SECOND).await }
    });
    sleep(SECOND).await;
    timeout(SECOND, provider.close()).await.expect("at once").unwrap();
    provider.close().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(provider.receive(up_to(1), SECOND).await.unwrap_err().kind(), ErrorKind::Closed);
    let settled = provider.settle(&[Settlement::new(Receipt::new(0, 1), Outcome::Ack)]).await.unwrap_err();
    assert!(settled.is_all(ErrorKind::Closed));
    assert_eq!(provider.connection(), ConnectionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_source_is_outlived_if_it_is_temporary() {
    let mut answers = VecDeque::from([
        Err(Error::new(ErrorKind::Connection, "no network")),
        Ok(Some(Message::new("after it"))),
        Err(Error::new(ErrorKind::AccessRefused, "go away")),
    ]);
    let provider = provider_fn("flaky", move || std::future::ready(answers.pop_front().unwrap_or(Ok(None))));
    let error = Worker::new(Arc::new(provider)).signals_off().run(async |_: String| {}).await.unwrap_err();
    let report = error.report().expect("it ran");
    assert_eq!((report.counts.acked, report.counts.broker_errors), (1, 1));
    assert_eq!(error.broker_error().unwrap().to_string(), "receive \"flaky\": go away");
}

#[tokio::test(start_paused = true)]
async fn the_source_is_told_what_became_of_each() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let refuse = Arc::new(Mutex::new(true));
    let provider = numbers(6, Duration::ZERO).on_settle({
        let told = Arc::clone(&told);
        move |delivery, outcome| {
            let refused = std::mem::take(&mut *refuse.lock().unwrap());
            let body = String::from_utf8(delivery.body().to_vec()).unwrap();
            if !refused {
                told.lock().unwrap().push((body, outcome));
            }
            async move { if refused { Err(Error::new(ErrorKind::Timeout, "busy")) } else { Ok(()) } }
        }
    });
    let held = provider.receive(up_to(3), SECOND).await.unwrap();
    let busy = provider.settle(&settle(&held[0], Outcome::Ack)).await.unwrap_err();
    assert!(busy.is_all(ErrorKind::Timeout), "{busy:?}");
    provider.settle(&settle(&held[0], Outcome::Ack)).await.expect("it was still held");
    provider.settle(&settle(&held[1], Outcome::Requeue)).await.unwrap();
    provider.stop().await.unwrap();
    provider.close().await.unwrap();
    let body = |n: usize| n.to_string();
    let expected = [
        (body(0), Outcome::Ack),
        (body(1), Outcome::Requeue),
        // What waited when it was stopped, then what was not settled when it was closed.
        (body(1), Outcome::Release),
        (body(2), Outcome::Release),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_behind_what_came_before_it() {
    let mut answers = VecDeque::from([Ok(Some(Message::new("one"))), Err(Error::new(ErrorKind::Timeout, "slow"))]);
    let provider = provider_fn("flaky", move || std::future::ready(answers.pop_front().unwrap_or(Ok(None))));
    assert_eq!(bodies(&provider.receive(up_to(9), SECOND).await.unwrap()), ["one"]);
    assert_eq!(provider.receive(up_to(9), SECOND).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(provider.receive(up_to(9), SECOND).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_source_is_an_error() {
    let mut calls = 0;
    let provider = provider_fn("panics", move || {
        calls += 1;
        assert!(calls > 1, "the closure");
        async move {
            assert!(calls > 2, "its future");
            Ok(Some(Message::new("fine")))
        }
    });
    let provider = provider.on_settle(async |delivery: Delivery, _| {
        assert!(delivery.attempt() > 1, "the other closure");
        Ok(())
    });
    for expected in ["the closure", "its future"] {
        let error = provider.receive(up_to(1), SECOND).await.unwrap_err();
        let text = format!("receive \"panics\": the function of the provider panicked: {expected}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Broker, text));
    }
    let delivery = provider.receive(up_to(1), SECOND).await.unwrap().remove(0);
    let error = provider.settle(&settle(&delivery, Outcome::Ack)).await.unwrap_err();
    assert!(error.is_all(ErrorKind::Broker) && error.to_string().contains("the other closure"), "{error}");
    let again = provider.settle(&settle(&delivery, Outcome::Ack)).await.unwrap_err();
    assert!(again.is_all(ErrorKind::Broker), "it is still held: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_waits_does_not_starve_others() {
    let provider = provider_fn("endless", || std::future::ready(Ok(Some(Message::new("x")))));
    let worker = Worker::new(Arc::new(provider)).signals_off().concurrency(4);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(async |_: String| {}));
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    handle.stop();
    assert!(running.await.unwrap().unwrap().counts.acked > 0);
}
