use std::sync::Arc;
use swarrot_core::{Delivery, Json, MessageProvider, Worker};

struct User;

async fn greet(delivery: Delivery, user: User, Json(text): Json<String>) {}

fn main() {
    let provider: Arc<dyn MessageProvider> = unreachable!();
    let _ = Worker::new(provider).run(greet);
}
