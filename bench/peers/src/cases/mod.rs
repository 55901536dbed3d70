//! What is measured, by library.

mod apalis_amqp;
mod apalis_redis;
mod broccoli;
mod omniqueue_amqp;
mod omniqueue_loop;
mod omniqueue_redis;
mod ruststream_amqp;
mod ruststream_frames;
mod ruststream_redis;
mod sea_streamer;

use anyhow::{Result, bail};
use futures_util::future::BoxFuture;
use swarrot_bench::figures::Figures;

use crate::Options;
use crate::looks::{Rabbit, Store};

/// Where there are consumer groups.
const GROUP: &str = "bench";

/// Puts the messages there that a case consumes.
///
/// # Errors
/// If that fails, or the case consumes none.
pub(crate) async fn fill(o: &Options) -> Result<()> {
    match o.name.as_str() {
        "omniqueue-amqp" => omniqueue_amqp::fill(o).await,
        "omniqueue-redis" => omniqueue_redis::fill(o).await,
        "broccoli-amqp" => broccoli::fill_amqp(o).await,
        "broccoli-redis" => broccoli::fill_redis(o).await,
        "apalis-amqp" => apalis_amqp::fill(o).await,
        "apalis-redis" => apalis_redis::fill(o).await,
        "sea-streamer-redis" => sea_streamer::fill(o).await,
        "ruststream-amqp" => ruststream_amqp::fill(o).await,
        "ruststream-redis" | "ruststream-redis-pipeline" => ruststream_redis::fill(o).await,
        other => bail!("there is no case {other:?} that consumes"),
    }
}

/// Checks that a case has done all that it should have.
///
/// # Errors
/// If not.
pub(crate) async fn check(o: &Options) -> Result<()> {
    match o.name.as_str() {
        "omniqueue-amqp" | "apalis-amqp" | "ruststream-amqp" => {
            Rabbit::open(&o.url).await?.is_done(&o.queue, o.prefetch.into()).await
        }
        "omniqueue-amqp-publish" | "apalis-amqp-publish" | "ruststream-amqp-publish" => {
            Rabbit::open(&o.url).await?.has(&o.queue, o.messages).await
        }
        "broccoli-amqp" => broccoli::check_amqp(o, true).await,
        "broccoli-amqp-publish" => broccoli::check_amqp(o, false).await,
        "broccoli-redis" => broccoli::check_redis(o, true).await,
        "broccoli-redis-publish" => broccoli::check_redis(o, false).await,
        "apalis-redis" => apalis_redis::check(o, true).await,
        "apalis-redis-publish" => apalis_redis::check(o, false).await,
        "omniqueue-redis" => Store::open(&o.url).await?.counts(redis::cmd("XLEN").arg(&o.queue), 0).await,
        "sea-streamer-redis" | "ruststream-redis" | "ruststream-redis-pipeline" => {
            Store::open(&o.url).await?.is_read(&o.queue, GROUP).await
        }
        "omniqueue-redis-publish" | "sea-streamer-redis-publish" | "ruststream-redis-publish" => {
            Store::open(&o.url).await?.counts(redis::cmd("XLEN").arg(&o.queue), o.messages).await
        }
        other => bail!("there is no case {other:?}"),
    }
}

/// Runs a case.
///
/// # Errors
/// If it fails, or there is none of this name.
pub(crate) async fn run(options: Options) -> Result<Figures> {
    let o = &options;
    let case: BoxFuture<'_, Result<Figures>> = match o.name.as_str() {
        "omniqueue-amqp" => Box::pin(omniqueue_amqp::consume(o)),
        "omniqueue-amqp-publish" => Box::pin(omniqueue_amqp::publish(o)),
        "omniqueue-redis" => Box::pin(omniqueue_redis::consume(o)),
        "omniqueue-redis-publish" => Box::pin(omniqueue_redis::publish(o)),
        "broccoli-amqp" => Box::pin(broccoli::consume_amqp(o)),
        "broccoli-amqp-publish" => Box::pin(broccoli::publish_amqp(o)),
        "broccoli-redis" => Box::pin(broccoli::consume_redis(o)),
        "broccoli-redis-publish" => Box::pin(broccoli::publish_redis(o)),
        "apalis-amqp" => Box::pin(apalis_amqp::consume(o)),
        "apalis-amqp-publish" => Box::pin(apalis_amqp::publish(o)),
        "apalis-redis" => Box::pin(apalis_redis::consume(o)),
        "apalis-redis-publish" => Box::pin(apalis_redis::publish(o)),
        "sea-streamer-redis" => Box::pin(sea_streamer::consume(o)),
        "sea-streamer-redis-publish" => Box::pin(sea_streamer::publish(o)),
        "ruststream-amqp" => Box::pin(ruststream_amqp::consume(o)),
        "ruststream-amqp-publish" => Box::pin(ruststream_amqp::publish(o)),
        "ruststream-redis" => Box::pin(ruststream_redis::consume(o)),
        "ruststream-redis-pipeline" => Box::pin(ruststream_redis::consume_with_pipeline(o)),
        "ruststream-redis-publish" => Box::pin(ruststream_redis::publish(o)),
        other => bail!("there is no case {other:?}"),
    };
    case.await
}
