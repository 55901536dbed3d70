//! Where deliveries come from.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use swarrot_core::{
    Capabilities, ConnectionState, Delivery, MessageProvider, ProviderOptions, Receipt, Result, SettleError,
    Settlement, async_trait,
};
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::connection::{Handle, Shared};
use crate::error;
use crate::state::Received;

/// A provider of one queue. Dropped without being closed, it gives back what it holds all the same.
#[derive(Debug)]
pub(crate) struct MemoryProvider {
    shared: Arc<Shared>,
    id: u64,
    queue: Box<str>,
    capabilities: Capabilities,
}

impl MemoryProvider {
    pub(crate) fn new(shared: &Arc<Shared>, handle: &Handle, queue: &str, options: &ProviderOptions) -> Result<Self> {
        let mut state = shared.lock();
        handle.check()?;
        let id = state.join(handle.id, queue, options)?;
        let capabilities = state.profile().capabilities();
        Ok(Self { shared: Arc::clone(shared), id, queue: queue.into(), capabilities })
    }
}

#[async_trait]
impl MessageProvider for MemoryProvider {
    fn queue(&self) -> &str {
        &self.queue
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn connection(&self) -> ConnectionState {
        self.shared.lock().connection(self.id)
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        let result = self.shared.lock().set_prefetch(self.id, prefetch);
        result.map_err(|error| error.with_operation("set prefetch").with_target(&*self.queue))
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        // Nothing here waits while there is work; without this a busy worker would starve the other tasks.
        consume_budget().await;
        // A wait that no clock can measure never ends.
        let deadline = Instant::now().checked_add(wait);
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            let timer = {
                let mut state = self.shared.lock();
                let now = Instant::now();
                let received = state.receive(self.id, max, now);
                match received.map_err(|error| error.with_operation("receive").with_target(&*self.queue))? {
                    Received::Deliveries(deliveries) => return Ok(deliveries),
                    Received::Stopped => return Ok(Vec::new()),
                    Received::Nothing if deadline.is_some_and(|at| at <= now) => return Ok(Vec::new()),
                    Received::Nothing => {}
                }
                let waiting = waiting.get_or_insert_with(|| Waiting {
                    provider: self,
                    id: state.begin_waiting(),
                    notify: Arc::default(),
                });
                let due = state.wait(self.id, waiting.id, &waiting.notify);
                due.into_iter().chain(deadline).min()
            };
            let Some(Waiting { notify, .. }) = &waiting else { continue };
            match timer {
                Some(at) => tokio::select! { () = notify.notified() => {}, () = sleep_until(at) => {} },
                None => notify.notified().await,
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        consume_budget().await;
        if settlements.is_empty() {
            return Ok(());
        }
        let settled = self.shared.lock().settle(self.id, settlements, Instant::now());
        match settled {
            Ok(failures) => SettleError::check(failures),
            Err(error) => {
                let error = error.with_operation("settle").with_target(&*self.queue);
                Err(SettleError::all(settlements.iter().map(|s| s.receipt), &error))
            }
        }
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let extended = self.shared.lock().extend(self.id, receipts, Instant::now());
        let named = |error: swarrot_core::Error| error.with_operation("extend").with_target(&*self.queue);
        match extended {
            Ok(lost) if lost.is_empty() => Ok(()),
            Ok(lost) => Err(SettleError::all(lost, &named(error::stale()))),
            Err(error) => Err(SettleError::all(receipts.iter().copied(), &named(error))),
        }
    }

    async fn pause(&self) -> Result<()> {
        // Nothing is fetched before it is asked for.
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        self.shared.lock().stop(self.id);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared.lock().leave(self.id, Instant::now());
        Ok(())
    }
}

impl Drop for MemoryProvider {
    fn drop(&mut self) {
        self.shared.lock().leave(self.id, Instant::now());
    }
}

/// A call of `receive` that waits. However it ends, dropped included, what it was told goes to the next one.
#[derive(Debug)]
struct Waiting<'a> {
    provider: &'a MemoryProvider,
    id: u64,
    notify: Arc<Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.provider.shared.lock().stop_waiting(&self.provider.queue, self.id);
    }
}
