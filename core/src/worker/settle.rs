//! Settlements on their way to the broker.
//!
//! Acks and what else is quick go in one call at a time; what finishes meanwhile rides in the next. Retries and rejects,
//! which wait until their copies are confirmed, go in calls of their own, several at once.

use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::ReusableBoxFuture;
use tracing::{debug, warn};

use super::shared::{Shared, Stage};
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::settlement::{SettleError, Settlement};

/// Settlements that wait, and those under way.
pub(super) struct Settling {
    shared: Arc<Shared>,
    quick: Vec<Settlement>,
    copies: Vec<Settlement>,
    /// Used again for each call.
    quick_call: ReusableBoxFuture<'static, Attempt>,
    /// Whether it is under way.
    calling: bool,
    /// Empty, to be filled while a call is under way.
    spare: Vec<Settlement>,
    calls: FuturesUnordered<BoxFuture<'static, Vec<Receipt>>>,
}

/// What became of one call.
struct Attempt {
    /// Settled, or lost for good.
    done: Vec<Receipt>,
    /// Still held by the provider.
    failed: Vec<Settlement>,
    /// What the settlements were in: empty, to be filled again.
    emptied: Vec<Settlement>,
}

impl Settling {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            quick: Vec::new(),
            copies: Vec::new(),
            quick_call: ReusableBoxFuture::new(pending()),
            calling: false,
            spare: Vec::new(),
            calls: FuturesUnordered::new(),
        }
    }

    pub(super) fn push(&mut self, settlement: Settlement) {
        if settlement.outcome.needs_copy() { &mut self.copies } else { &mut self.quick }.push(settlement);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.quick.is_empty() && self.copies.is_empty() && !self.calling && self.calls.is_empty()
    }

    /// Sends what waits, as far as it may go now.
    pub(super) fn send(&mut self) {
        if !self.copies.is_empty() {
            let copies = std::mem::take(&mut self.copies);
            self.calls.push(Box::pin(until_settled(Arc::clone(&self.shared), copies, false)));
        }
        if !self.calling && !self.quick.is_empty() {
            let quick = std::mem::replace(&mut self.quick, std::mem::take(&mut self.spare));
            let shared = Arc::clone(&self.shared);
            self.quick_call.set(async move { attempt(&shared, quick).await });
            self.calling = true;
        }
    }

    /// Waits for a call to end, and returns the receipts that are done with. Pends while none is under way.
    ///
    /// Cancel safe: calls stay under way.
    pub(super) async fn done(&mut self) -> Vec<Receipt> {
        tokio::select! {
            attempt = poll_fn(|cx| self.quick_call.poll(cx)), if self.calling => {
                self.calling = false;
                self.spare = attempt.emptied;
                if !attempt.failed.is_empty() {
                    // Out of the way of other acks.
                    self.calls.push(Box::pin(until_settled(Arc::clone(&self.shared), attempt.failed, true)));
                }
                attempt.done
            }
            Some(done) = self.calls.next() => done,
            else => pending().await,
        }
    }
}

/// Settles, again and again after a pause, until all are settled or lost, or handlers are cancelled because the worker has
/// to end: what is unsettled then goes back when the provider closes.
async fn until_settled(shared: Arc<Shared>, mut settlements: Vec<Settlement>, mut failed_before: bool) -> Vec<Receipt> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut all_done = Vec::with_capacity(settlements.len());
    loop {
        if failed_before {
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = shared.reached(Stage::Cancelling) => {}
            }
        }
        let Attempt { done, failed, .. } = attempt(&shared, settlements).await;
        all_done.extend(done);
        if failed.is_empty() || shared.stage() >= Stage::Cancelling {
            all_done.extend(failed.iter().map(|settlement| settlement.receipt));
            return all_done;
        }
        settlements = failed;
        failed_before = true;
    }
}

/// Settles once, and counts what became of each.
async fn attempt(shared: &Shared, mut settlements: Vec<Settlement>) -> Attempt {
    let mut attempt = Attempt { done: Vec::with_capacity(settlements.len()), failed: Vec::new(), emptied: Vec::new() };
    #[cfg(feature = "metrics")]
    let started = tokio::time::Instant::now();
    let result = shared.provider.settle(&settlements).await;
    #[cfg(feature = "metrics")]
    if let Some(times) = shared.settle_times.get() {
        times.took(started.elapsed(), &result);
    }
    let failures: HashMap<_, _> = result.err().map(SettleError::into_failures).into_iter().flatten().collect();
    for settlement in settlements.drain(..) {
        match failures.get(&settlement.receipt) {
            None => shared.counters.settled(&settlement.outcome),
            Some(error) if is_lost(error) => {
                shared.counters.lost.add(1);
                debug!(receipt = ?settlement.receipt, "the delivery was lost before it was settled; it comes again");
            }
            Some(error) => {
                shared.counters.settle_failures.add(1);
                let receipt = settlement.receipt;
                warn!(queue = shared.provider.queue(), ?receipt, %error, "not settled yet; it is tried again");
                attempt.failed.push(or_park(settlement, error));
                continue;
            }
        }
        attempt.done.push(settlement.receipt);
    }
    attempt.emptied = settlements;
    attempt
}

/// What to try next: the same, or, for a retry that the broker will never do, a rejection. Otherwise the delivery would be
/// held for ever, and a few of them would fill the prefetch and leave the worker deaf.
fn or_park(settlement: Settlement, error: &Error) -> Settlement {
    let never = matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::TooLarge | ErrorKind::InvalidInput);
    match settlement.outcome {
        Outcome::Retry { reason, .. } if never => {
            let reason = reason.map_or_else(String::new, |reason| format!("; it failed before: {reason}"));
            Settlement::new(settlement.receipt, Outcome::reject(format!("it cannot be retried: {error}{reason}")))
        }
        _ => settlement,
    }
}

/// Whether the provider does not hold the delivery any more.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Stale | ErrorKind::Closed)
}
