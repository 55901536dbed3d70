use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker, check_handler};

fn send(_text: String) {}

fn main() {
    check_handler(&send);
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let _ = Worker::new(provider).run(|text: String| println!("{text}"));
}
