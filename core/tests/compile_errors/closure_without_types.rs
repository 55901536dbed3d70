use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker};

fn main() {
    let provider: Arc<dyn MessageProvider> = unreachable!();
    let _ = Worker::new(provider).run(async |text| println!("{text}"));
}
