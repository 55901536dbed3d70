use std::sync::Arc;
use swarrot_core::{MessagePublisher, reply};

async fn count(text: String) -> usize {
    text.len()
}

fn main() {
    let publisher: Arc<dyn MessagePublisher> = None.unwrap();
    let _ = reply(publisher, count);
}
