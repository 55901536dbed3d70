//! Where messages go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swarrot_core::{
    Capabilities, Error, ErrorKind, Message, MessagePublisher, Outgoing, PublisherOptions, Result, async_trait,
};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Handle, Shared};
use crate::error;

/// The longest routing key, in bytes, as in AMQP 0-9-1.
const MAX_ROUTING_KEY: usize = 255;

/// A publisher to one exchange.
#[derive(Debug)]
pub(crate) struct MemoryPublisher {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    exchange: Arc<str>,
    options: PublisherOptions,
    capabilities: Capabilities,
    closed: AtomicBool,
}

impl MemoryPublisher {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        handle: &Arc<Handle>,
        exchange: &str,
        options: PublisherOptions,
    ) -> Result<Self> {
        let state = shared.lock();
        handle.check()?;
        state.check_exchange(exchange)?;
        let capabilities = state.profile().capabilities();
        drop(state);
        let (shared, handle, exchange) = (Arc::clone(shared), Arc::clone(handle), exchange.into());
        Ok(Self { shared, handle, exchange, options, capabilities, closed: AtomicBool::new(false) })
    }

    fn error(&self, error: Error) -> Error {
        error.with_operation("publish").with_target(&*self.exchange)
    }

    fn prepare(&self, outgoing: &Outgoing) -> Result<Arc<Message>> {
        if outgoing.routing_key.len() > MAX_ROUTING_KEY {
            let length = outgoing.routing_key.len();
            let message = format!("the routing key has {length} bytes, the limit is {MAX_ROUTING_KEY}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if !outgoing.is_trusted() {
            self.options.limits.check_outgoing(&outgoing.message)?;
        }
        let mut message = outgoing.message.clone();
        message.ensure_id();
        Ok(Arc::new(message))
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) { Err(error::closed("publisher")) } else { self.handle.check() }
    }

    /// Publishes all in one go, or says what to wait for: the end of a block.
    fn try_publish(&self, batch: &[Outgoing], prepared: &mut Vec<Result<Arc<Message>>>) -> Option<Vec<Result<()>>> {
        let mut state = self.shared.lock();
        if let Err(error) = self.check_open() {
            return Some(batch.iter().map(|_| Err(self.error(error.clone()))).collect());
        }
        if state.faults.blocked {
            return None;
        }
        let now = Instant::now();
        let publish = |(outgoing, prepared): (&Outgoing, Result<Arc<Message>>)| {
            let message = prepared.map_err(|error| self.error(error))?;
            let published = state.publish(&self.exchange, &outgoing.routing_key, &message, outgoing.delay, now);
            published.map_err(|error| self.error(error))
        };
        Some(batch.iter().zip(prepared.drain(..)).map(publish).collect())
    }
}

#[async_trait]
impl MessagePublisher for MemoryPublisher {
    fn exchange(&self) -> &str {
        &self.exchange
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        consume_budget().await;
        let mut prepared: Vec<_> = batch.iter().map(|outgoing| self.prepare(outgoing)).collect();
        if let Some(results) = self.try_publish(batch, &mut prepared) {
            return results;
        }
        let deadline = Instant::now().checked_add(self.options.timeout);
        loop {
            // Made before the look, so that no end of a block falls between the look and the wait.
            let opened = self.shared.gate.notified();
            if let Some(results) = self.try_publish(batch, &mut prepared) {
                return results;
            }
            match deadline {
                None => opened.await,
                Some(at) => {
                    if timeout_at(at, opened).await.is_err() {
                        let message = "the broker takes no messages at the moment; try again later";
                        let blocked = self.error(Error::new(ErrorKind::Blocked, message));
                        return batch.iter().map(|_| Err(blocked.clone())).collect();
                    }
                }
            }
        }
    }

    async fn close(&self) -> Result<()> {
        {
            // Under the lock, so that no publish goes through after this call has returned.
            let _state = self.shared.lock();
            self.closed.store(true, Ordering::Relaxed);
        }
        self.shared.gate.notify_waiters();
        Ok(())
    }
}
