use std::rc::Rc;
use swarrot_core::check_handler;

async fn send(text: String) {
    let shared = Rc::new(text);
    std::future::ready(()).await;
    println!("{shared}");
}

fn main() {
    check_handler(&send);
}
