//! Everything at once, and for long.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use memory_stats::memory_stats;
use swarrot_core::{
    Broker, Delivery, Message, MessageProvider, MessagePublisher, Outcome, Outgoing, ProviderOptions, Worker,
};
use tokio::time::{Instant, sleep, timeout};

use crate::faults::FaultyBroker;
use crate::harness::Harness;
use crate::run::{Case, Context, Run, Verdict, case, run_case};
use crate::support::{Ledger, PATIENCE, Running, bodies, insist, ms, secs};

const GROUP: &str = "stress";

pub(super) const CASES: &[Case] = &[
    Case::new(GROUP, "suite_x10_parallel", Run::Blocking(suite_x10_parallel)).long().limit(1800).alone(),
    case!(soak_10_min).manual().faulty().dup().limit(7 * 24 * 3600).alone(),
];

/// Every short case that leaves the broker whole, ten times.
fn suite_x10_parallel(harness: &Arc<dyn Harness>) {
    const TIMES: usize = 10;
    const THREADS: usize = 12;
    // On a busy machine things take longer; how much longer is not what this case is about.
    const SLACK: u32 = 10;
    let cases: Vec<_> = super::all().filter(|case| case.is_repeated()).collect();
    let mut queue: VecDeque<&'static Case> = std::iter::repeat_n(cases, TIMES).flatten().collect();
    fastrand::shuffle(queue.make_contiguous());
    let queue = Mutex::new(queue);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                    let verdict = run_case(harness, case, SLACK);
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((case, verdict));
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let passed = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Passed).count();
    let failed: Vec<_> = verdicts
        .iter()
        .filter_map(|(case, verdict)| match verdict {
            Verdict::Failed(message) => Some(format!("{case}: {message}")),
            _ => None,
        })
        .collect();
    assert!(failed.is_empty(), "{} failed, {passed} passed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed >= 100, "only {passed} cases ran");
}

/// For ten minutes, or as long as `SWARROT_SOAK_SECONDS` says.
async fn soak_10_min(cx: &Context) {
    let length = std::env::var("SWARROT_SOAK_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    let end = Instant::now() + secs(length.unwrap_or(600));
    let broker = cx.connect().await;
    let queue = cx.queue(&*broker, "q").await;
    let publishers = [cx.publisher(&*broker, "").await, cx.publisher(&*broker, "").await];
    let mut memory = Vec::new();
    let mut total = 0;
    while Instant::now() < end {
        // Each round has a ledger of its own, so that the counting itself takes no more memory from round to round.
        let ledger = cx.ledger();
        round(cx, &*broker, &publishers, &queue, &ledger).await;
        total += ledger.check().confirmed;
        memory.push(memory_stats().map_or(0, |stats| stats.physical_mem));
    }
    // The first quarter is for caches and allocators to fill.
    let (early, late) = memory.split_at(memory.len().div_ceil(4));
    if let (Some(early), Some(late)) = (early.iter().max(), late.iter().max()) {
        let limit = early + early / 4 + (16 << 20);
        assert!(
            late <= &limit,
            "memory grew from {early} to {late} bytes in {} rounds, {total} messages",
            memory.len()
        );
    }
}

/// One round: traffic, a fault in the midst of it, and everything accounted for in the end.
async fn round(
    cx: &Context,
    broker: &dyn Broker,
    publishers: &[Arc<dyn MessagePublisher>],
    queue: &str,
    ledger: &Ledger,
) {
    let worker = Worker::new(provider(broker, queue).await).concurrency(20).signals_off();
    let running = {
        let ledger = ledger.clone();
        Running::start(
            worker.handle(),
            worker.run(move |delivery: Delivery| {
                let ledger = ledger.clone();
                async move {
                    sleep(ms(fastrand::u64(0..10))).await;
                    match fastrand::u8(0..50) {
                        0 => Outcome::Requeue,
                        1 => Outcome::retry(ms(fastrand::u64(0..500))),
                        _ => {
                            ledger.received(&delivery);
                            Outcome::Ack
                        }
                    }
                }
            }),
        )
    };
    let sending = join_all((0..10).map(|task| {
        let (publisher, ledger) = (Arc::clone(&publishers[task % publishers.len()]), ledger.clone());
        let queue = queue.to_owned();
        tokio::spawn(async move {
            for body in bodies(&format!("p{task}"), 100) {
                insist(&*publisher, &Outgoing::new(&queue, Message::new(body.clone()).id(body.clone()))).await;
                ledger.note_sent(body);
                sleep(ms(fastrand::u64(0..40))).await;
            }
        })
    }));
    let (sent, ()) = tokio::join!(sending, some_fault(cx));
    for task in sent {
        task.expect("only temporary errors");
    }
    let deadline = Instant::now() + PATIENCE * 6;
    while ledger.outstanding() > 0 {
        assert!(Instant::now() < deadline, "{}", ledger.counts());
        sleep(ms(100)).await;
    }
    // What came twice is in the queue still, and belongs to this round.
    while broker.stats(queue).await.map_or(1, |s| s.ready + s.unsettled.unwrap_or(0) + s.delayed.unwrap_or(0)) > 0 {
        assert!(Instant::now() < deadline, "the queue is not empty: {}", ledger.counts());
        sleep(ms(200)).await;
    }
    running.stop().await;
}

/// A provider, from a broker whose connection may be about to be mended.
async fn provider(broker: &dyn Broker, queue: &str) -> Arc<dyn MessageProvider> {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        match broker.provider(queue, ProviderOptions::default()).await {
            Ok(provider) => return provider,
            Err(error) => assert!(error.is_temporary() && Instant::now() < deadline, "no provider: {error:?}"),
        }
        sleep(ms(200)).await;
    }
}

/// One of the faults that the harness can make, at some moment of the round.
async fn some_fault(cx: &Context) {
    let Some(faulty) = cx.faulty_if_any() else { return };
    let can = cx.harness().faults();
    let possible = [can.cut, can.freeze, can.restart, can.block, can.close_all_connections];
    let possible: Vec<_> = possible.iter().enumerate().filter(|(_, can)| **can).map(|(fault, _)| fault).collect();
    let Some(fault) = fastrand::choice(possible) else { return };
    sleep(ms(fastrand::u64(100..1500))).await;
    let made = timeout(secs(120), make(faulty, fault)).await;
    made.expect("a fault is made in time").unwrap_or_else(|error| panic!("fault {fault}: {error}"));
}

async fn make(faulty: &dyn FaultyBroker, fault: usize) -> Result<(), swarrot_core::BoxError> {
    let while_it_lasts = || sleep(Duration::from_millis(fastrand::u64(50..3000)));
    match fault {
        0 => {
            faulty.cut().await?;
            while_it_lasts().await;
            faulty.heal().await
        }
        1 => {
            faulty.freeze().await?;
            while_it_lasts().await;
            faulty.heal().await
        }
        2 => {
            faulty.kill().await?;
            while_it_lasts().await;
            faulty.restart().await
        }
        3 => {
            faulty.block().await?;
            while_it_lasts().await;
            faulty.unblock().await
        }
        _ => faulty.close_all_connections().await,
    }
}
