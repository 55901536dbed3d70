use swarrot_core::{Json, check_handler};

struct Reset {
    address: String,
}

async fn send(Json(_reset): Json<Reset>) {}

fn main() {
    check_handler(&send);
}
