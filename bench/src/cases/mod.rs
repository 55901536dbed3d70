//! What is measured, each case in a process of its own.

#[cfg(feature = "brokers")]
mod amqp;
#[cfg(feature = "brokers")]
mod convert;
#[cfg(feature = "brokers")]
mod idle;
#[cfg(feature = "brokers")]
mod latency;
mod layers;
mod memory;
mod messages;
#[cfg(feature = "brokers")]
mod redis;
#[cfg(feature = "brokers")]
mod startup;
mod worker;

use std::sync::Arc;

use anyhow::{Context, Result};
use swarrot::prelude::*;
use tokio::runtime::Builder;

pub(crate) use self::messages::fill;
use crate::figures::Figures;
use crate::meter::allocations;

/// Which case, and on what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Its name
    pub(crate) name: String,
    /// The broker
    #[arg(long, default_value = "memory://")]
    pub(crate) url: String,
    /// The queue
    #[arg(long, default_value = "bench")]
    pub(crate) queue: String,
    /// How many messages
    #[arg(long, default_value_t = 10_000)]
    pub(crate) messages: u64,
    /// Bytes of each body
    #[arg(long, default_value_t = 200)]
    pub(crate) size: usize,
    /// Messages at once: the worker's concurrency, or how many publishes are under way
    #[arg(long, default_value_t = 500)]
    pub(crate) concurrency: usize,
    /// The prefetch; 0 leaves it as it is
    #[arg(long, default_value_t = 1000)]
    pub(crate) prefetch: u16,
    /// Loops of the worker, or layers
    #[arg(long, default_value_t = 1)]
    pub(crate) parallelism: usize,
    /// Messages a second, where there is a rate; seconds, where nothing is sent
    #[arg(long, default_value_t = 1000)]
    pub(crate) rate: u64,
    /// One thread instead of one for each processor
    #[arg(long)]
    pub(crate) current_thread: bool,
    /// In the body of `main` instead of a task of its own
    #[arg(long)]
    pub(crate) in_main: bool,
}

impl Options {
    /// For so many messages of this size in a queue.
    #[cfg(feature = "brokers")]
    pub(crate) fn for_filling(url: &str, queue: &str, messages: u64, size: usize) -> Self {
        Self {
            name: "fill".to_owned(),
            url: url.to_owned(),
            queue: queue.to_owned(),
            messages,
            size,
            concurrency: 1,
            prefetch: 0,
            parallelism: 1,
            rate: 0,
            current_thread: false,
            in_main: false,
        }
    }
}

/// Runs a case.
///
/// # Errors
/// If it fails, or there is none of this name.
pub(crate) fn run(options: Options) -> Result<Figures> {
    let figures = on_runtime(options)?;
    Ok(Figures { all_allocations: allocations() as f64, ..figures })
}

fn on_runtime(options: Options) -> Result<Figures> {
    let mut builder = if options.current_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.enable_all().build().context("cannot make a runtime")?;
    if options.in_main {
        return runtime.block_on(dispatch(options));
    }
    let case = runtime.spawn(dispatch(options));
    runtime.block_on(case).context("the case panicked")?
}

async fn dispatch(options: Options) -> Result<Figures> {
    let o = &options;
    match o.name.as_str() {
        "fill" => messages::declare_and_fill(o).await,
        "worker" => worker::consume(o).await,
        "worker-layers" => worker::consume_with_layers(o).await,
        "provider" => worker::by_hand(o).await,
        "publish-each" => messages::publish_each(o).await,
        "publish-batch" => messages::publish_batches(o).await,
        "memory-cycle" => memory::cycle(o).await,
        "mpsc" => memory::mpsc(o).await,
        "async-channel" => memory::channel(o).await,
        "layers" => layers::own(o).await,
        "layers-ours" => layers::ours(o).await,
        _ => with_clients(o).await,
    }
}

/// Those for which more than the memory backend is needed.
#[cfg(feature = "brokers")]
async fn with_clients(o: &Options) -> Result<Figures> {
    match o.name.as_str() {
        "amqp-plain" => amqp::plain(o).await,
        "amqp-tuned" => amqp::tuned(o).await,
        "amqp-publish" => amqp::publish(o).await,
        "redis-each" => redis::one_by_one(o).await,
        "redis-tuned" => redis::tuned(o, false).await,
        "redis-deleting" => redis::tuned(o, true).await,
        "redis-publish-each" => redis::publish_each(o).await,
        "redis-publish-batch" => redis::publish_batches(o).await,
        "amqp-encode" => convert::amqp_encode(o),
        "amqp-decode" => convert::amqp_decode(o),
        "redis-encode" => Ok(convert::redis_encode(o)),
        "redis-decode" => convert::redis_decode(o),
        "latency-worker" => latency::worker(o).await,
        "latency-amqp" => latency::amqp(o).await,
        "latency-redis" => latency::redis(o).await,
        "idle-worker" => idle::worker(o).await,
        "idle-amqp" => idle::amqp(o).await,
        "idle-redis" => idle::redis(o).await,
        "startup-worker" => startup::worker(o).await,
        "startup-amqp" => startup::amqp(o).await,
        "startup-redis" => startup::redis(o).await,
        other => anyhow::bail!("there is no case {other:?}"),
    }
}

#[cfg(not(feature = "brokers"))]
fn with_clients(o: &Options) -> std::future::Ready<Result<Figures>> {
    std::future::ready(Err(anyhow::anyhow!("there is no case {:?} where the feature `brokers` is off", o.name)))
}

/// The broker that the options name.
async fn connect(o: &Options) -> Result<Arc<dyn Broker>> {
    swarrot::connect(&o.url).await.with_context(|| format!("cannot connect for {}", o.name))
}
