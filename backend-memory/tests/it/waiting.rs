//! Calls of `receive` that wait: who wakes, who does not, and what a dropped call leaves.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::common::{
    LONG, bodies, declare, max, one, provider, provider_of, publisher, secs, send, send_all, settle, take, with_queue,
};
use futures_util::future::BoxFuture;
use swarrot_core::topology::Queue;
use swarrot_core::{Delivery, ErrorKind, Message, MessageProvider, MessagePublisherExt, Outcome, Outgoing, Result};
use swarrot_memory::{MemoryBroker, Profile};
use tokio::time::{Instant, advance};

/// A call polled by hand, so that a test sees exactly who is woken.
struct Call<'a> {
    future: BoxFuture<'a, Result<Vec<Delivery>>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<'a> Call<'a> {
    /// A call that waits already.
    fn waiting(provider: &'a Arc<dyn MessageProvider>) -> Self {
        let mut call = Self { future: Box::pin(provider.receive(max(1), LONG)), wakes: Arc::default() };
        assert!(call.poll().is_none());
        call
    }

    fn poll(&mut self) -> Option<Result<Vec<Delivery>>> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    fn woken(&self) -> bool {
        self.wakes.0.swap(0, Ordering::Relaxed) > 0
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_wakes_one_call_and_a_dropped_call_passes_it_on() {
    let broker = with_queue().await;
    let providers = [provider(&broker, "q").await, provider(&broker, "q").await, provider(&broker, "q").await];
    let [mut first, second, mut third] = providers.each_ref().map(Call::waiting);
    assert!(!first.woken() && !second.woken() && !third.woken());
    send_all(&broker, "q", ["a"]).await;
    assert_eq!([first.woken(), second.woken(), third.woken()], [true, false, false]);
    // A second message is for the next one, not for the one that was woken already.
    send_all(&broker, "q", ["b"]).await;
    assert_eq!([first.woken(), second.woken(), third.woken()], [false, true, false]);
    drop(second);
    assert!(third.woken());
    assert_eq!(bodies(&first.poll().expect("ready").expect("receive")), ["a"]);
    assert_eq!(bodies(&third.poll().expect("ready").expect("receive")), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_due_message_wakes_one_call_and_the_timer_is_passed_on() {
    let broker = with_queue().await;
    let providers = [provider(&broker, "q").await, provider(&broker, "q").await];
    let [mut first, mut second] = providers.each_ref().map(Call::waiting);
    let publisher = publisher(&broker, "").await;
    for delay in [20, 10] {
        publisher.publish_one(Outgoing::new("q", Message::new("")).delay(secs(delay))).await.expect("publish");
        // The longest-waiting call sets its timer.
        assert!(first.woken() && !second.woken());
        assert!(first.poll().is_none());
    }
    advance(secs(10)).await;
    assert!(first.woken() && !second.woken());
    assert_eq!(first.poll().expect("ready").expect("receive").len(), 1);
    drop(first);
    assert!(second.woken());
    assert!(second.poll().is_none());
    advance(secs(10)).await;
    assert!(second.woken());
    assert_eq!(second.poll().expect("ready").expect("receive").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_timer_outlives_a_cancelled_call() {
    let broker = with_queue().await;
    let outgoing = Outgoing::new("q", Message::new("")).delay(secs(10));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    let providers = [provider(&broker, "q").await, provider(&broker, "q").await];
    let [first, mut second] = providers.each_ref().map(Call::waiting);
    drop(first);
    assert!(second.woken());
    assert!(second.poll().is_none());
    advance(secs(10)).await;
    assert!(second.woken());
    assert!(second.poll().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_saturated_provider_is_not_woken_until_it_has_room() {
    let broker = with_queue().await;
    let (full, free) = (provider_of(&broker, "q", 1).await, provider_of(&broker, "q", 1).await);
    send_all(&broker, "q", ["a"]).await;
    let held = one(&full).await;
    let (mut at_limit, mut open) = (Call::waiting(&full), Call::waiting(&free));
    send_all(&broker, "q", ["b", "c"]).await;
    assert_eq!([at_limit.woken(), open.woken()], [false, true]);
    assert_eq!(bodies(&open.poll().expect("ready").expect("receive")), ["b"]);
    assert!(!at_limit.woken());
    settle(&full, &held, Outcome::Ack).await.expect("ack");
    assert!(at_limit.woken());
    assert_eq!(bodies(&at_limit.poll().expect("ready").expect("receive")), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_looked_in_vain_is_woken_again() {
    let broker = with_queue().await;
    let provider = provider_of(&broker, "q", 1).await;
    let (mut first, mut second) = (Call::waiting(&provider), Call::waiting(&provider));
    send_all(&broker, "q", ["a", "b"]).await;
    assert!(first.woken() && second.woken());
    let held = first.poll().expect("ready").expect("receive").remove(0);
    assert!(second.poll().is_none());
    second.woken();
    settle(&provider, &held, Outcome::Ack).await.expect("ack");
    assert!(second.woken());
    assert_eq!(bodies(&second.poll().expect("ready").expect("receive")), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_call_sets_a_timer() {
    let broker = with_queue().await;
    let outgoing = Outgoing::new("q", Message::new("")).delay(secs(10));
    publisher(&broker, "").await.publish_one(outgoing).await.expect("publish");
    let providers = [provider(&broker, "q").await, provider(&broker, "q").await];
    let [first, second] = providers.each_ref().map(Call::waiting);
    advance(secs(10)).await;
    assert!(first.woken() && !second.woken());
}

#[tokio::test(start_paused = true)]
async fn what_expires_elsewhere_wakes_a_call_that_waits_already() {
    let broker = with_queue().await;
    let dead = provider(&broker, "q.dead").await;
    let mut waiting = Call::waiting(&dead);
    send(&broker, "q", Message::new("a").ttl(secs(7))).await.expect("publish");
    assert!(waiting.woken());
    assert!(waiting.poll().is_none());
    advance(secs(7)).await;
    assert!(waiting.woken());
    assert_eq!(bodies(&waiting.poll().expect("ready").expect("receive")), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_wakes_every_call() {
    let broker = with_queue().await;
    let providers = [provider(&broker, "q").await, provider(&broker, "q").await];
    for mut waiting in providers.each_ref().map(Call::waiting) {
        broker.faults().cut();
        assert!(waiting.woken());
        assert_eq!(waiting.poll().expect("ready").expect_err("cut").kind(), ErrorKind::Connection);
    }
}

#[tokio::test(start_paused = true)]
async fn prefetch_is_a_bound_that_moves_live() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b", "c", "d", "e"]).await;
    let provider = provider_of(&broker, "q", 3).await;
    let got = take(&provider, 9).await;
    assert_eq!(bodies(&got), ["a", "b", "c"]);
    let mut waiting = Call::waiting(&provider);
    provider.set_prefetch(NonZeroU16::new(4).expect("not zero")).await.expect("set");
    assert!(waiting.woken());
    assert_eq!(bodies(&waiting.poll().expect("ready").expect("receive")), ["d"]);
    provider.set_prefetch(NonZeroU16::MIN).await.expect("set");
    for delivery in &got {
        settle(&provider, delivery, Outcome::Ack).await.expect("it drains");
        assert!(take(&provider, 9).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_on_time_and_without_end_only_by_a_message() {
    let broker = with_queue().await;
    let provider = provider(&broker, "q").await;
    let start = Instant::now();
    assert!(provider.receive(max(1), secs(5)).await.expect("receive").is_empty());
    assert_eq!(start.elapsed(), secs(5));
    assert!(provider.receive(max(1), Duration::ZERO).await.expect("receive").is_empty());
    assert_eq!(start.elapsed(), secs(5));
    let (got, ()) = tokio::join!(provider.receive(max(1), Duration::MAX), async {
        tokio::time::sleep(secs(1_000_000)).await;
        send_all(&broker, "q", ["late"]).await;
    });
    assert_eq!(bodies(&got.expect("receive")), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_waits_and_leaves_what_is_held() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a"]).await;
    let provider = provider(&broker, "q").await;
    let held = one(&provider).await;
    let mut waiting = Call::waiting(&provider);
    provider.stop().await.expect("stop");
    provider.stop().await.expect("again");
    assert!(waiting.woken());
    assert!(waiting.poll().expect("ready").expect("no error").is_empty());
    send_all(&broker, "q", ["b"]).await;
    assert!(provider.receive(max(1), LONG).await.expect("at once").is_empty());
    settle(&provider, &held, Outcome::Ack).await.expect("still held");
    assert_eq!(broker.ledger().acked, 1);
}

#[tokio::test(start_paused = true)]
async fn close_ends_waits_and_a_drop_gives_back() {
    let broker = with_queue().await;
    send_all(&broker, "q", ["a", "b"]).await;
    let (closed, dropped, next) =
        (provider(&broker, "q").await, provider(&broker, "q").await, provider(&broker, "q").await);
    let _held = (one(&closed).await, one(&dropped).await);
    let mut ended = Call::waiting(&closed);
    let mut waiting = Call::waiting(&next);
    closed.close().await.expect("close");
    assert_eq!(ended.poll().expect("ready").expect_err("closed").kind(), ErrorKind::Closed);
    assert!(waiting.woken());
    assert_eq!(bodies(&waiting.poll().expect("ready").expect("receive")), ["a"]);
    drop(dropped);
    let back = one(&next).await;
    assert_eq!((&back.body()[..], back.delivery_count(), back.redelivered()), (&b"b"[..], Some(1), true));
    broker.check().expect("sound");
}

#[tokio::test(start_paused = true)]
async fn an_ending_lease_wakes_a_waiting_call() {
    let broker = MemoryBroker::with_profile(Profile::Streams { lease: secs(10) });
    declare(&broker, Queue::new("q")).await;
    let (slow, other) = (provider(&broker, "q").await, provider(&broker, "q").await);
    let mut waiting = Call::waiting(&other);
    send_all(&broker, "q", ["a"]).await;
    let _held = one(&slow).await;
    assert!(waiting.woken());
    assert!(waiting.poll().is_none());
    advance(secs(10)).await;
    assert!(waiting.woken());
    assert_eq!(waiting.poll().expect("ready").expect("receive")[0].delivery_count(), Some(2));
}

/// Many threads, real time: every message arrives once, and nobody sleeps through one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_on_many_threads() {
    let broker = with_queue().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let (provider, seen) = (provider_of(&broker, "q", 1).await, Arc::clone(&seen));
        workers.spawn(async move {
            while seen.load(Ordering::Relaxed) < 4000 {
                // Some calls are cancelled while they wait, at any moment.
                let receive = provider.receive(max(1), Duration::from_millis(500));
                let limit = if worker % 2 == 0 { secs(9) } else { Duration::from_micros(50) };
                let Ok(got) = tokio::time::timeout(limit, receive).await else { continue };
                for delivery in got.expect("receive") {
                    settle(&provider, &delivery, Outcome::Ack).await.expect("ack");
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for _ in 0..4 {
        let publisher = publisher(&broker, "").await;
        workers.spawn(async move {
            for _ in 0..1000 {
                publisher.publish_one(Outgoing::new("q", Message::new("m"))).await.expect("publish");
                tokio::task::yield_now().await;
            }
        });
    }
    tokio::time::timeout(secs(60), broker.wait_until_idle("q")).await.expect("in time").expect("the queue is there");
    tokio::time::timeout(secs(60), workers.join_all()).await.expect("in time");
    assert_eq!(broker.ledger().acked, 4000);
    broker.check().expect("sound");
}
