//! Messages that were delivered so often that they may be what ends workers.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use swarrot::prelude::*;

use crate::support::Bench;

#[tokio::test(start_paused = true)]
async fn a_suspect_runs_alone() {
    let bench = Bench::new().await;
    bench.fill(40).await;
    let running = Arc::new(AtomicUsize::new(0));
    let (gauge, seen) = (Arc::clone(&running), bench.seen.clone());
    let report = bench
        .worker()
        .await
        .concurrency(10)
        .crash_limit(6)
        .stop_when_empty()
        .run(move |delivery: Delivery| {
            let (gauge, seen) = (Arc::clone(&gauge), seen.clone());
            async move {
                gauge.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                let count = delivery.delivery_count().expect("it counts");
                if count > 3 {
                    seen.note(format!("{count}: {}", gauge.load(SeqCst)));
                }
                gauge.fetch_sub(1, SeqCst);
                // Two of them come back again and again.
                if matches!(&delivery.body()[..], b"7" | b"20") { Outcome::Requeue } else { Outcome::Ack }
            }
        })
        .await
        .expect("it ends well");
    assert_eq!((report.counts.acked, report.counts.rejected), (38, 2), "{report}");
    let mut suspects = bench.seen.all();
    suspects.sort();
    assert_eq!(suspects, ["4: 1", "4: 1", "5: 1", "5: 1", "6: 1", "6: 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_suspect_does_not_hold_up_others_for_ever() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let provider = bench.provider().await;
    for _ in 0..2 {
        let delivery = provider.receive(NonZeroUsize::MIN, Duration::ZERO).await.unwrap().remove(0);
        provider.settle(&[Settlement::new(delivery.receipt(), Outcome::Requeue)]).await.unwrap();
    }
    provider.close().await.unwrap();
    bench.fill(3).await;
    let (start, seen) = (tokio::time::Instant::now(), bench.seen.clone());
    let report = bench
        .worker()
        .await
        .concurrency(2)
        .crash_limit(4)
        .stop_when_empty()
        .run(move |delivery: Delivery| {
            let seen = seen.clone();
            async move {
                if delivery.delivery_count() > Some(2) {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                } else {
                    seen.note(start.elapsed().as_secs().to_string());
                }
            }
        })
        .await
        .expect("it ends well");
    assert_eq!(report.counts.acked, 4, "{report}");
    let last: u64 = bench.seen.all().last().expect("others ran").parse().expect("a number");
    assert!(last <= 61, "others waited for {last} s");
}
