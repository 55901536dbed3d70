use std::error::Error;
use swarrot_core::check_handler;

async fn send(_text: String) -> Result<(), Box<dyn Error>> {
    Ok(())
}

fn main() {
    check_handler(&send);
}
