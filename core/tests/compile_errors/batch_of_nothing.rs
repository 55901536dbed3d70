use std::time::Duration;
use swarrot_core::Batch;

async fn store(_text: String) {}

fn main() {
    let _ = Batch::new(10, Duration::from_secs(1), store);
}
