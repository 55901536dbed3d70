//! Rates.

use std::time::Instant;

use futures_util::stream::{FuturesUnordered, TryStreamExt as _};
use swarrot::{Broker, Message, Outgoing, ProviderOptions, PublisherOptions, Worker};

use crate::failure::Result;
use crate::progress::Progress;

/// Messages in one call.
const BATCH: u64 = 256;
/// Calls at once.
const IN_FLIGHT: usize = 4;

/// Messages a second, published and confirmed.
pub(super) async fn publish(broker: &dyn Broker, queue: &str, body: &[u8], messages: u64) -> Result<f64> {
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let message = Message::new(body.to_vec());
    let progress = Progress::new(Some(messages), "publishing");
    let began = Instant::now();
    let mut flying = FuturesUnordered::new();
    let mut left = messages;
    loop {
        while left > 0 && flying.len() < IN_FLIGHT {
            let size = left.min(BATCH);
            left -= size;
            let batch: Vec<_> = (0..size).map(|_| Outgoing::new(queue, message.clone())).collect();
            let publisher = &publisher;
            flying.push(async move {
                let results = publisher.publish(&batch).await;
                results.into_iter().collect::<swarrot::Result<Vec<()>>>().map(|done| done.len())
            });
        }
        match flying.try_next().await? {
            Some(done) => progress.add(done),
            None => break,
        }
    }
    let rate = per_second(messages, began);
    publisher.close().await?;
    Ok(rate)
}

/// Messages a second, received, handled and acked.
pub(super) async fn receive(broker: &dyn Broker, queue: &str, messages: u64, concurrency: usize) -> Result<f64> {
    let provider = broker.provider(queue, ProviderOptions::default()).await?;
    let _progress = Progress::new(None, "receiving");
    let began = Instant::now();
    let worker = Worker::new(provider).concurrency(concurrency).signals_off().max_messages(messages);
    worker.run(|| async {}).await?;
    Ok(per_second(messages, began))
}

#[expect(clippy::cast_precision_loss, reason = "a number of messages, not of atoms")]
fn per_second(messages: u64, began: Instant) -> f64 {
    messages as f64 / began.elapsed().as_secs_f64()
}
