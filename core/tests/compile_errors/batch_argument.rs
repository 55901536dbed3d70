use std::time::Duration;
use swarrot_core::{Attempt, Batch};

async fn store(_texts: Vec<String>, _attempt: Attempt) {}

async fn sum(_numbers: Vec<u32>) {}

fn main() {
    let _ = Batch::new(10, Duration::from_secs(1), store);
    let _ = Batch::new(10, Duration::from_secs(1), sum);
}
