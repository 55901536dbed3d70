use std::sync::Arc;
use swarrot_core::{MessageProvider, Worker};

fn main() {
    let provider: Arc<dyn MessageProvider> = None.unwrap();
    let _ = Worker::new(provider).run(async |_: String| loop {
        std::future::pending::<()>().await;
    });
}
