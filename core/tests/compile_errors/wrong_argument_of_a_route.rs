use swarrot_core::{IntoHandler, Router};

async fn resize(_width: u32) {}

fn main() {
    let _ = Router::new().message_type("resize", resize);
    let _ = Router::new().fallback(resize.layer(()));
}
