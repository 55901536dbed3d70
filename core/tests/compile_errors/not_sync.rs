use std::cell::Cell;
use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker};

fn main() {
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let count = Cell::new(0);
    let handler = move || {
        count.set(count.get() + 1);
        async {}
    };
    let _ = Worker::new(provider).run(handler);
}
