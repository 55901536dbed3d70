use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker, check_handler};

fn send(text: String) {}

fn main() {
    check_handler(&send);
    let provider: Arc<dyn MessageProvider> = unreachable!();
    let _ = Worker::new(provider).run(|text: String| println!("{text}"));
}
