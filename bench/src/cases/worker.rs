//! Workers, on whichever broker.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use anyhow::{Context, Result};
use swarrot::layer::CatchPanic;
use swarrot::prelude::*;
use swarrot::{Handler, Settlement};
use tower_layer::Layer;

use super::{Options, connect, fill};
use crate::figures::Figures;
use crate::meter::Meter;

/// A handler that does nothing.
pub(super) async fn consume(o: &Options) -> Result<Figures> {
    run(make(o).await?, o.messages).await
}

/// The same, within the two layers that most workers have.
pub(super) async fn consume_with_layers(o: &Options) -> Result<Figures> {
    let retry = Retry::exponential(Duration::from_secs(30), Duration::from_secs(1800)).attempts(5).jitter();
    run(make(o).await?.layer(retry).layer(Timeout::new(Duration::from_secs(60))), o.messages).await
}

/// Without a worker: receives and settles by hand, at most as many at once as a worker would run.
pub(super) async fn by_hand(o: &Options) -> Result<Figures> {
    let provider = provider(o).await?;
    if let Some(prefetch) = NonZeroU16::new(o.prefetch) {
        provider.set_prefetch(prefetch).await?;
    }
    let max = NonZeroUsize::new(o.concurrency).unwrap_or(NonZeroUsize::MIN);
    let meter = Meter::new(o.messages);
    let mut left = usize::try_from(o.messages)?;
    while left > 0 {
        let deliveries = provider.receive(max, Duration::from_secs(10)).await?;
        meter.hits(deliveries.len());
        left -= deliveries.len();
        let acks: Vec<_> = deliveries.iter().map(|d| Settlement::new(d.receipt(), Outcome::Ack)).collect();
        provider.settle(&acks).await?;
    }
    provider.close().await?;
    Ok(meter.figures())
}

/// A worker as the options want it.
pub(super) async fn make(o: &Options) -> Result<Worker> {
    let worker = Worker::new(provider(o).await?).concurrency(o.concurrency).parallelism(o.parallelism).signals_off();
    Ok(match NonZeroU16::new(o.prefetch) {
        Some(prefetch) => worker.prefetch(prefetch),
        None => worker,
    })
}

/// A provider of the queue, which is filled first if it lives in this process.
async fn provider(o: &Options) -> Result<std::sync::Arc<dyn MessageProvider>> {
    let broker = connect(o).await?;
    if o.url.starts_with("memory:") {
        broker.declare(&Topology::new().queue(Queue::new(o.queue.as_str()))).await?;
        fill(&*broker, o).await?;
    }
    Ok(broker.provider(&o.queue, ProviderOptions::default()).await?)
}

async fn run<L>(worker: Worker<L>, messages: u64) -> Result<Figures>
where
    L: Layer<CatchPanic<Hit>, Service: Handler> + Send + 'static,
{
    let meter = Meter::new(messages);
    let handle = worker.handle();
    let stop = async {
        meter.done().await;
        handle.stop();
    };
    let (report, ()) = tokio::join!(worker.run(Hit(meter)), stop);
    report.context("the worker failed")?;
    Ok(meter.figures())
}

/// Counts, and does nothing else.
struct Hit(&'static Meter);

impl Handler for Hit {
    async fn handle(&self, _: Delivery) -> Result<Outcome, BoxError> {
        self.0.hit();
        Ok(Outcome::Ack)
    }
}
