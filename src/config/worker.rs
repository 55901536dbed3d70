//! From what a file says to a worker.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use swarrot_core::gate::Gate;
use swarrot_core::layer::BoxStack;
use swarrot_core::{
    Broker, Limits, MessageProvider, PriorityProvider, ProviderOptions, PublisherOptions, Result, Worker,
};

use super::config::ConfiguredWorker;
use super::file::{LimitKeys, Queues, WorkerEntry, WorkerKeys};
use super::read::Size;

/// A worker on its queue or queues. What the file does not say is left as the worker has it.
pub(super) async fn make(
    broker: &dyn Broker,
    entry: &WorkerEntry,
    gates: impl Iterator<Item = Arc<dyn Gate>>,
) -> Result<ConfiguredWorker> {
    let options = ProviderOptions::default().dead_letter(entry.keys.dead_letter);
    let provider = provider(broker, &entry.queues, options).await?;
    let mut stack = BoxStack::new();
    for layer in &entry.layers {
        stack.push(layer.make(|| broker.publisher("", PublisherOptions::default())).await?);
    }
    let worker = set(Worker::new(provider).layer(stack), &entry.keys);
    Ok(gates.fold(worker, Worker::gate))
}

async fn provider(broker: &dyn Broker, queues: &Queues, options: ProviderOptions) -> Result<Arc<dyn MessageProvider>> {
    Ok(match queues {
        Queues::One(queue) => broker.provider(queue, options).await?,
        Queues::Strict(queues) => {
            let mut providers = Vec::with_capacity(queues.len());
            for queue in queues {
                providers.push(broker.provider(queue, options.clone()).await?);
            }
            Arc::new(PriorityProvider::strict(providers)?)
        }
        Queues::Weighted(queues) => {
            let mut providers = Vec::with_capacity(queues.len());
            for (queue, weight) in queues {
                providers.push((broker.provider(queue, options.clone()).await?, *weight));
            }
            Arc::new(PriorityProvider::weighted(providers)?)
        }
    })
}

/// Every key but those of queues and layers.
fn set(mut worker: ConfiguredWorker, keys: &WorkerKeys) -> ConfiguredWorker {
    macro_rules! set {
        ($($key:ident $(by $of:expr)?),*) => {$(
            if let Some(value) = keys.$key {
                $(let value = $of(value);)?
                worker = worker.$key(value);
            }
        )*};
    }
    macro_rules! switch {
        ($($key:ident),*) => {$(
            if keys.$key {
                worker = worker.$key();
            }
        )*};
    }
    set! {
        concurrency by NonZeroUsize::get, prefetch, parallelism by NonZeroUsize::get, max_messages by NonZeroU64::get, max_time,
        max_memory by Size::bytes, deadline, give_up_after, crash_limit by super::read::OrOff::number
    }
    switch!(spawned, stop_when_empty, ack_before_handling, stop_on_error);
    if !keys.signals {
        worker = worker.signals_off();
    }
    match &keys.limits {
        Some(keys) => worker.limits(limits(keys)),
        None => worker,
    }
}

fn limits(keys: &LimitKeys) -> Limits {
    let size =
        |size: Option<Size>, default| size.map_or(default, |size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
    let mut limits = Limits::default();
    limits.body = size(keys.body, limits.body);
    limits.headers = keys.headers.unwrap_or(limits.headers);
    limits.header_name = size(keys.header_name, limits.header_name);
    limits.header_value = size(keys.header_value, limits.header_value);
    limits.nesting = keys.nesting.unwrap_or(limits.nesting);
    limits
}
