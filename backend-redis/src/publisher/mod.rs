//! Where messages go.

mod batch;
mod lanes;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarrot_core::{Capabilities, Error, ErrorKind, MessagePublisher, Outgoing, PublisherOptions, Result, async_trait};
use tokio::sync::RwLock;
use tokio::time::Instant;
use uuid::Uuid;

use self::batch::{MAX_MESSAGES, Prepared, RECORD_KEPT};
use self::lanes::Lanes;
use self::turns::Turns;
use crate::broker::Core;
use crate::config::{MAX_DELAY, Mode};
use crate::convert::encode;
use crate::error;

/// The longest routing key, in bytes, as in AMQP 0-9-1.
const MAX_ROUTING_KEY: usize = 255;

/// A publisher to one exchange. Dropping a call of `publish` takes back what nobody has begun to send; what was begun is done once
/// or not at all, also where it goes on in the turn of another call.
#[derive(Debug)]
pub(crate) struct RedisPublisher(Arc<Shared>);

/// What a publisher and the task that sends for several of its callers share.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    exchange: Arc<str>,
    options: PublisherOptions,
    /// By which the server knows its batches.
    id: String,
    lanes: Lanes,
    turns: Turns,
    /// Whether it is closed. Publishes hold it for reading, so that a close waits for them.
    closed: RwLock<bool>,
}

impl RedisPublisher {
    pub(crate) async fn new(core: &Arc<Core>, exchange: &str, options: PublisherOptions) -> Result<Self> {
        if !exchange.is_empty() {
            core.router.refresh(&core.publish).await?.route(exchange, "")?;
        }
        Ok(Self(Arc::new(Shared {
            core: Arc::clone(core),
            exchange: exchange.into(),
            options,
            id: Uuid::now_v7().simple().to_string(),
            lanes: Lanes::default(),
            turns: Turns::default(),
            closed: RwLock::new(false),
        })))
    }
}

impl Shared {
    fn named(&self, error: Error) -> Error {
        error.with_operation("publish").with_target(&*self.exchange)
    }

    fn prepare(&self, position: usize, outgoing: &Outgoing) -> Result<Prepared> {
        let Outgoing { message, routing_key, delay, .. } = outgoing;
        if routing_key.len() > MAX_ROUTING_KEY {
            let message = format!("the routing key has {} bytes, the limit is {MAX_ROUTING_KEY}", routing_key.len());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if !outgoing.is_trusted() {
            self.options.limits.check_outgoing(message)?;
        }
        if message.properties.ttl.is_some() {
            return Err(error::unsupported("messages on Redis do not expire; leave the ttl out"));
        }
        let delay = delay.unwrap_or_default();
        if delay > MAX_DELAY {
            return Err(error::delay_too_long(delay, MAX_DELAY));
        }
        let route = if self.exchange.is_empty() { None } else { Some((&*self.exchange, routing_key.as_str())) };
        let meta = if message.properties.message_id.is_some() {
            encode(message, route)
        } else {
            let mut message = message.clone();
            message.ensure_id();
            encode(&message, route)
        };
        let body = Bytes::clone(&message.body);
        Ok(Prepared { position, routing_key: routing_key.clone(), delay: millis(delay), meta, body })
    }
}

/// Whole milliseconds, rounded up: nothing is due too early.
pub(crate) fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[async_trait]
impl MessagePublisher for RedisPublisher {
    fn exchange(&self) -> &str {
        &self.0.exchange
    }

    fn capabilities(&self) -> Capabilities {
        self.0.core.capabilities()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let shared = &self.0;
        let closed = shared.closed.read().await;
        let open = if *closed { Err(error::closed("publisher")) } else { shared.core.check_open() };
        if let Err(error) = open {
            return batch.iter().map(|_| Err(shared.named(error.clone()))).collect();
        }
        let mut results: Vec<Result<()>> = batch.iter().map(|_| Ok(())).collect();
        let mut prepared = Vec::with_capacity(batch.len());
        for (position, outgoing) in batch.iter().enumerate() {
            match shared.prepare(position, outgoing) {
                Ok(message) => prepared.push(message),
                Err(error) => results[position] = Err(error),
            }
        }
        let deadline = Instant::now() + shared.options.timeout.min(RECORD_KEPT / 2);
        // What is a batch already gains nothing by waiting; and in a cluster nobody should wait for another's node.
        if prepared.len() > MAX_MESSAGES / 8 || shared.core.config.mode == Mode::Cluster {
            shared.send(prepared.iter().collect(), &mut results, deadline).await;
        } else if !prepared.is_empty() {
            shared.send_in_turn(prepared, &mut results, deadline).await;
        }
        results.into_iter().map(|result| result.map_err(|error| shared.named(error))).collect()
    }

    async fn close(&self) -> Result<()> {
        // Waits for the publishes under way, and lets no further one in.
        *self.0.closed.write().await = true;
        Ok(())
    }
}
