use std::sync::Arc;
use swarrot_core::{Delivery, Json, MessageProvider, Worker};

struct User;

async fn greet(_delivery: Delivery, _user: User, Json(_text): Json<String>) {}

fn main() {
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let _ = Worker::new(provider).run(greet);
}
