use swarrot_core::check_handler;

async fn count(text: String) -> usize {
    text.len()
}

fn main() {
    check_handler(&count);
}
