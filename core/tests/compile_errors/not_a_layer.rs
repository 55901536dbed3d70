use std::sync::Arc;
use std::time::Duration;
use swarrot_core::{MessageProvider, Worker};

async fn send(_text: String) {}

fn main() {
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let _ = Worker::new(provider).layer(Duration::from_secs(60)).run(send);
}
