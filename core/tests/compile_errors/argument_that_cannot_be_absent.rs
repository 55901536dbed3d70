use swarrot_core::check_handler;

async fn send(text: Option<String>) {}

fn main() {
    check_handler(&send);
}
