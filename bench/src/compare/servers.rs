//! Private brokers for comparisons, started when they are needed and ended with this program.

use std::fs;

use anyhow::{Context, Result};
use swarrot::topology::QueueKind;
use swarrot_conformance::brokers::{RabbitMq, Redis, Start};

/// Where a comparison happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the process of each case.
    Memory,
    /// RabbitMQ, with a queue of this kind.
    RabbitMq(QueueKind),
    /// Redis that writes an append-only file.
    Redis,
    /// Redis that writes nothing.
    VolatileRedis,
}

impl Place {
    /// The queue's name: a queue cannot change its kind, nor can the one for its dead letters.
    pub(crate) fn queue(self) -> &'static str {
        match self {
            Self::RabbitMq(QueueKind::Classic) => "bench-classic",
            _ => "bench",
        }
    }
}

/// The brokers that run.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    rabbitmq: Option<RabbitMq>,
    redis: Option<Redis>,
    volatile_redis: Option<Redis>,
}

impl Servers {
    /// The URL of a place, and the process to watch.
    ///
    /// # Errors
    /// If its broker cannot be started.
    pub(crate) fn at(&mut self, place: Place) -> Result<(String, Option<i32>)> {
        Ok(match place {
            Place::Memory => ("memory://".to_owned(), None),
            Place::RabbitMq(_) => {
                let node = get(&mut self.rabbitmq, || RabbitMq::start(&Start::new()))?;
                (node.url(), node.pid())
            }
            Place::Redis => {
                let server = get(&mut self.redis, || Redis::start(&Start::new()))?;
                (server.url(), server.pid())
            }
            Place::VolatileRedis => {
                let server = get(&mut self.volatile_redis, || Redis::start(&Start::new().config("appendonly no")))?;
                (server.url(), server.pid())
            }
        })
    }
}

fn get<B, E>(place: &mut Option<B>, start: impl FnOnce() -> Result<B, E>) -> Result<&B>
where
    E: std::error::Error + Send + Sync + 'static,
{
    if place.is_none() {
        *place = Some(start().context("cannot start a broker")?);
    }
    place.as_ref().context("the broker is gone")
}

/// Removes all that is in a Redis, which is private, so that nothing of it is anybody else's.
///
/// # Errors
/// If it does not answer.
pub(crate) async fn clear(place: Place, url: &str) -> Result<()> {
    if matches!(place, Place::Redis | Place::VolatileRedis) {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.context("cannot clear Redis")?;
    }
    Ok(())
}

/// Processor time that a process has used, in microseconds; the kernel counts in hundredths of a second.
pub(crate) fn cpu(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, the 12th and 13th.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(2));
    fields.into_iter().flatten().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}
