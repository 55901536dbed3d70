use swarrot_core::layer::Timeout;
use swarrot_core::{Message, MessagePublisher, Outgoing, Router};

async fn send(_text: String) {}

async fn publish(publisher: &dyn MessagePublisher) {
    let _ = publisher.publish_one(Outgoing::new("mails", Message::new(""))).await;
}

fn main() {
    let _ = Router::new().fallback(send.layer(Timeout::new(std::time::Duration::from_secs(60))));
}
