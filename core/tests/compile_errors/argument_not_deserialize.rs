use swarrot_core::{Json, check_handler};

struct Reset {
    address: String,
}

async fn send(Json(reset): Json<Reset>) {}

fn main() {
    check_handler(&send);
}
