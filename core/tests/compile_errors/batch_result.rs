use std::time::Duration;
use swarrot_core::Batch;

async fn store(texts: Vec<String>) -> usize {
    texts.len()
}

async fn each(texts: Vec<String>) -> Vec<bool> {
    vec![true; texts.len()]
}

fn main() {
    let _ = Batch::new(10, Duration::from_secs(1), store);
    let _ = Batch::new(10, Duration::from_secs(1), each);
}
