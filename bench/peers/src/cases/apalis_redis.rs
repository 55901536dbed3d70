//! apalis on Redis: a script moves jobs between lists, sets and hashes, where they stay with their results.

use anyhow::Result;
use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use swarrot_bench::figures::Figures;
use swarrot_bench::meter::Meter;

use crate::Options;
use crate::looks::Store;
use crate::work::{self, Publish};

/// Jobs in one call of its scripts.
const BATCH: usize = 500;

pub(super) async fn fill(o: &Options) -> Result<()> {
    work::fill(o, publishers(o, &storage(o).await?)).await
}

pub(super) async fn consume(o: &Options) -> Result<Figures> {
    let storage = storage(o).await?;
    let meter = Meter::new(o.messages);
    let worker =
        WorkerBuilder::new("bench").backend(storage).concurrency(o.concurrency).build(move |_: String| async move {
            meter.hit();
            Ok::<_, BoxDynError>(())
        });
    let done = async move {
        meter.done().await;
        Ok::<_, WorkerError>(())
    };
    work::patiently(o, meter, tokio::spawn(worker.run_until(done))).await???;
    work::figures(o, meter)
}

pub(super) async fn publish(o: &Options) -> Result<Figures> {
    work::publish(o, publishers(o, &storage(o).await?)).await
}

pub(super) async fn check(o: &Options, done: bool) -> Result<()> {
    let mut store = Store::open(&o.url).await?;
    store.counts(redis::cmd("HLEN").arg(config(o).job_data_hash()), o.messages).await?;
    let expected = if done { o.messages } else { 0 };
    store.counts(redis::cmd("SCARD").arg(config(o).done_jobs_set()), expected).await
}

#[derive(Clone)]
struct Publisher {
    storage: RedisStorage<String>,
    text: String,
}

impl Publish for Publisher {
    async fn publish(&mut self) -> Result<()> {
        Ok(self.storage.push(self.text.clone()).await?)
    }
}

fn publishers(o: &Options, storage: &RedisStorage<String>) -> Vec<Publisher> {
    vec![Publisher { storage: storage.clone(), text: work::text(o) }; o.concurrency]
}

async fn storage(o: &Options) -> Result<RedisStorage<String>> {
    let connection = apalis_redis::connect(o.url.as_str()).await?;
    Ok(RedisStorage::new(connection).with_config(config(o)))
}

fn config(o: &Options) -> Config {
    Config::default().queue(&o.queue).batch_size(BATCH)
}
