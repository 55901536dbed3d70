use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker};
use tower_layer::layer_fn;

struct Logged<H>(H);

async fn send(_text: String) {}

fn main() {
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let _ = Worker::new(provider).layer(layer_fn(Logged)).run(send);
}
