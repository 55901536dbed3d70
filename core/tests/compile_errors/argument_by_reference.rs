use swarrot_core::{Delivery, check_handler};

async fn greet(delivery: &Delivery) {}

fn main() {
    check_handler(&greet);
}
