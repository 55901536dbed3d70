use swarrot_core::{Delivery, check_handler};

async fn greet(_delivery: &Delivery) {}

fn main() {
    check_handler(&greet);
}
