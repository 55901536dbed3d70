//! What all cases do, whichever library does the work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use crate::Options;
use crate::looks::Rabbit;

/// After this a case gives up; none takes a tenth of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Publishes one message in a call.
pub(crate) trait Publish: Send + 'static {
    /// Until the library says that it is done, whatever that means.
    fn publish(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Measures how all messages are published, as many at once as there are publishers.
pub(crate) async fn publish<P: Publish>(o: &Options, publishers: Vec<P>) -> Result<Figures> {
    let meter = Meter::new(o.messages);
    meter.begin();
    all(publishers, o.messages, || meter.hit()).await?;
    Ok(meter.figures())
}

/// The same without confirmations, where nothing may end before the broker has what it was sent: messages were lost when the process
/// ended behind the last call, and on quorum queues also when the channel was closed while the process went on.
pub(crate) async fn publish_unconfirmed<P: Publish + Clone>(
    o: &Options,
    queue: &str,
    publishers: Vec<P>,
) -> Result<Figures> {
    let kept = publishers.clone();
    let figures = publish(o, publishers).await?;
    Rabbit::open(&o.url).await?.has(queue, o.messages).await?;
    drop(kept);
    Ok(figures)
}

/// Publishes all messages without measuring.
pub(crate) async fn fill<P: Publish>(o: &Options, publishers: Vec<P>) -> Result<()> {
    all(publishers, o.messages, || ()).await
}

async fn all<P: Publish>(publishers: Vec<P>, messages: u64, done: impl Fn() + Copy + Send + 'static) -> Result<()> {
    let tasks = publishers.len() as u64;
    let running: Vec<_> = (0..tasks)
        .zip(publishers)
        .map(|(index, mut publisher)| {
            let share = messages / tasks + u64::from(index < messages % tasks);
            tokio::spawn(async move {
                for _ in 0..share {
                    publisher.publish().await?;
                    done();
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in running {
        task.await.context("a publisher panicked")??;
    }
    Ok(())
}

/// Waits until the last message is handled.
pub(crate) async fn handled(o: &Options, meter: &'static Meter) -> Result<()> {
    patiently(o, meter, meter.done()).await
}

/// Waits for work that ends with the last message.
pub(crate) async fn patiently<W: Future>(o: &Options, meter: &'static Meter, work: W) -> Result<W::Output> {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.with_context(|| format!("only {} of {} messages came", meter.seen(), o.messages))
}

/// What was measured, if no message came twice.
pub(crate) fn figures(o: &Options, meter: &'static Meter) -> Result<Figures> {
    ensure!(meter.seen() == o.messages, "{} messages were handled instead of {}", meter.seen(), o.messages);
    Ok(meter.figures())
}

/// The text of a message, for libraries that put bodies into JSON: with its quotes it has as many bytes as asked for.
pub(crate) fn text(o: &Options) -> String {
    "x".repeat(o.size.saturating_sub(2))
}
