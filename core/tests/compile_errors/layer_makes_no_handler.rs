use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker};
use tower_layer::layer_fn;

struct Logged<H>(H);

async fn send(text: String) {}

fn main() {
    let provider: Arc<dyn MessageProvider> = unreachable!();
    let _ = Worker::new(provider).layer(layer_fn(Logged)).run(send);
}
