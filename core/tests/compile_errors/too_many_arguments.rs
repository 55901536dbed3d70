use swarrot_core::{Attempt, check_handler};

type A = Attempt;

async fn send(_: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A, _: A) {}

fn main() {
    check_handler(&send);
}
