use std::time::Duration;
use swarrot_core::{Attempt, Batch};

async fn store(texts: Vec<String>, attempt: Attempt) {}

async fn sum(numbers: Vec<u32>) {}

fn main() {
    let _ = Batch::new(10, Duration::from_secs(1), store);
    let _ = Batch::new(10, Duration::from_secs(1), sum);
}
