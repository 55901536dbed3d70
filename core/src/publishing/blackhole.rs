//! A publisher that sends nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::contract::{Capabilities, MessagePublisher, Outgoing};
use crate::error::{Error, ErrorKind, Result};

/// Takes every message and sends nothing: for code that has to be given a publisher, and for trying out what publishes.
#[derive(Debug)]
pub struct BlackholePublisher {
    exchange: String,
    closed: AtomicBool,
}

impl BlackholePublisher {
    /// It says that it publishes to this exchange.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self { exchange: exchange.into(), closed: AtomicBool::new(false) }
    }
}

/// What a publisher claims that takes everything: nothing that is asked of a message is too much.
pub(super) fn everything() -> Capabilities {
    Capabilities { max_priority: Some(u8::MAX), ttl: true, max_delay: Some(Duration::MAX), ..Capabilities::NONE }
}

/// What a publisher answers once it is closed.
pub(super) fn closed(exchange: &str) -> Error {
    Error::new(ErrorKind::Closed, "the publisher was closed").with_operation("publish").with_target(exchange)
}

#[async_trait]
impl MessagePublisher for BlackholePublisher {
    fn exchange(&self) -> &str {
        &self.exchange
    }

    fn capabilities(&self) -> Capabilities {
        everything()
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let closed = self.closed.load(Ordering::Relaxed);
        batch.iter().map(|_| if closed { Err(self::closed(&self.exchange)) } else { Ok(()) }).collect()
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}
