//! `PeakMemory`: what a message takes, where the system tells. A program of its own, since the figure is the process's.

#![cfg(feature = "memory")]

#[path = "worker/support.rs"]
#[expect(dead_code, reason = "the worker's tests use all of it")]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarrot::layer::PeakMemory;

use support::Bench;

const MIB: u64 = 1 << 20;

#[tokio::test(start_paused = true)]
async fn peaks_are_told() {
    each_message_has_a_peak_of_its_own().await;
    overlapping_messages_share_the_highest().await;
}

async fn each_message_has_a_peak_of_its_own() {
    let bench = Bench::new().await;
    bench.fill(3).await;
    let peaks = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&peaks);
    let layer = PeakMemory::new().report(move |_, bytes| noted.lock().unwrap().push(bytes));
    let handler = async |body: String| {
        if body == "1" {
            // Touched, so that it is in memory.
            let large = vec![1_u8; 256 << 20];
            assert_eq!(std::hint::black_box(&large)[1000], 1);
            return Err("failed, and told nevertheless");
        }
        Ok(())
    };
    bench.worker().await.layer(layer).max_messages(3).run(handler).await.unwrap();
    let peaks = peaks.lock().unwrap().clone();
    if cfg!(target_os = "linux") {
        let [before, large, after] = peaks[..] else { panic!("{peaks:?}") };
        assert!(large > before + 200 * MIB, "{peaks:?}");
        assert!(after + 200 * MIB < large, "it was reset: {peaks:?}");
    } else {
        assert!(peaks.is_empty());
    }
}

/// A peak is never hidden by another message that begins later.
async fn overlapping_messages_share_the_highest() {
    let bench = Bench::new().await;
    bench.fill(2).await;
    let peaks = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&peaks);
    let layer = PeakMemory::new().report(move |_, bytes| noted.lock().unwrap().push(bytes));
    let handler = async |body: String| {
        if body == "0" {
            drop(std::hint::black_box(vec![1_u8; 256 << 20]));
            tokio::time::sleep(Duration::from_secs(10)).await;
        } else {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    bench.worker().await.concurrency(2).layer(layer).max_messages(2).run(handler).await.unwrap();
    let peaks = peaks.lock().unwrap().clone();
    if cfg!(target_os = "linux") {
        assert!(peaks.len() == 2 && peaks.iter().all(|peak| *peak > 256 * MIB), "{peaks:?}");
    }
}
