use swarrot_core::check_handler;

async fn send(_text: Option<String>) {}

fn main() {
    check_handler(&send);
}
