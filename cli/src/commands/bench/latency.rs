//! Latencies at a fixed rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hdrhistogram::Histogram;
use swarrot::message::Value;
use swarrot::{
    Broker, Delivery, Message, MessagePublisherExt as _, Outgoing, ProviderOptions, PublisherOptions, Worker,
};
use tokio::time::{Instant, sleep_until};

use crate::failure::{Failure, Result};
use crate::progress::Progress;

/// Says when a message was due, in microseconds since the beginning.
const DUE: &str = "bench-due";

/// Microseconds, to three digits.
pub(super) type Latencies = Histogram<u64>;

/// How long it took until messages were confirmed, and until they were handled.
///
/// The clock starts when a message is due, not when it is sent: what waits behind a stall has waited too ("coordinated
/// omission", Gil Tene, "How NOT to Measure Latency", 2013).
pub(super) async fn measure(
    broker: &dyn Broker,
    queue: &str,
    body: &[u8],
    rate: f64,
    time: Duration,
) -> Result<(Latencies, Latencies)> {
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let provider = broker.provider(queue, ProviderOptions::default()).await?;
    let began = Instant::now();
    let through = Arc::new(Mutex::new(histogram()?));
    let seen = Arc::clone(&through);
    let handle = move |delivery: Delivery| {
        let seen = Arc::clone(&seen);
        async move {
            let due = delivery.headers().get(DUE).and_then(Value::as_int).and_then(|due| u64::try_from(due).ok());
            let took = micros(began.elapsed()).saturating_sub(due.unwrap_or(0));
            seen.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
        }
    };
    let worker = Worker::new(provider).concurrency(100).signals_off();
    let steer = worker.handle();
    let worker = tokio::spawn(worker.run(handle));
    let progress = Progress::new(None, "measuring latencies");

    let mut confirm = histogram()?;
    let mut flying = FuturesUnordered::new();
    let gap = Duration::from_secs_f64(1.0 / rate);
    let mut due = Duration::ZERO;
    let mut confirmed = 0;
    loop {
        tokio::select! {
            () = sleep_until(began + due), if due < time => {
                let stamp = i64::try_from(due.as_micros()).unwrap_or(i64::MAX);
                let message = Message::new(body.to_vec()).header(DUE, stamp);
                let (sender, at) = (&publisher, due);
                flying.push(async move {
                    sender.publish_one(Outgoing::new(queue, message)).await.map(|()| at)
                });
                due += gap;
            }
            Some(done) = flying.next(), if !flying.is_empty() => {
                confirm.saturating_record(micros(began.elapsed().saturating_sub(done?)));
                confirmed += 1;
                progress.add(1);
            }
            else => break,
        }
    }
    wait_for(&steer, confirmed).await?;
    steer.stop();
    worker.await.map_err(|error| Failure::new(format!("the worker panicked: {error}")))??;
    publisher.close().await?;
    let through = through.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((confirm, through))
}

/// Waits until so many were handled.
async fn wait_for(worker: &swarrot::WorkerHandle, messages: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while worker.health().counts.acked < messages {
        if Instant::now() > deadline {
            return Err(Failure::new("messages that were confirmed did not arrive within 30 s"));
        }
        looks.tick().await;
    }
    Ok(())
}

fn histogram() -> Result<Latencies> {
    Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| Failure::new(format!("no histogram: {error}")))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
