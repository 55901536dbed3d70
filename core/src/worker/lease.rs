//! Leases of deliveries, renewed while they are in hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout};
use tracing::warn;

use crate::contract::MessageProvider;
use crate::error::{Error, ErrorKind};
use crate::receipt::Receipt;
use crate::settlement::SettleError;

/// The deliveries of one loop whose leases are renewed; nothing at all where the broker has no leases.
pub(super) struct Leases(Option<Renewal>);

struct Renewal {
    provider: Arc<dyn MessageProvider>,
    held: HashSet<Receipt>,
    due: Interval,
    call: Option<BoxFuture<'static, Result<(), SettleError>>>,
}

impl Leases {
    pub(super) fn new(provider: &Arc<dyn MessageProvider>) -> Self {
        Self(provider.capabilities().lease.map(|lease| {
            // A third, so that one failed renewal is made good before the lease ends.
            let every = (lease / 3).max(Duration::from_millis(1));
            let mut due = tokio::time::interval_at(Instant::now() + every, every);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Renewal { provider: Arc::clone(provider), held: HashSet::new(), due, call: None }
        }))
    }

    /// Renews this one from now on.
    pub(super) fn hold(&mut self, receipt: Receipt) {
        if let Some(renewal) = &mut self.0 {
            renewal.held.insert(receipt);
        }
    }

    /// Renews these no more.
    pub(super) fn forget(&mut self, done: &[Receipt]) {
        if let Some(renewal) = &mut self.0 {
            for receipt in done {
                renewal.held.remove(receipt);
            }
        }
    }

    /// Renews when it is time; ready when leases are lost, with their receipts. Cancel safe: a renewal stays under way.
    pub(super) async fn lost(&mut self) -> Vec<Receipt> {
        let Some(renewal) = &mut self.0 else { return std::future::pending().await };
        loop {
            if let Some(call) = &mut renewal.call {
                let result = call.await;
                renewal.call = None;
                let lost = renewal.note(result);
                if !lost.is_empty() {
                    return lost;
                }
            }
            renewal.due.tick().await;
            if !renewal.held.is_empty() {
                let held: Vec<_> = renewal.held.iter().copied().collect();
                let provider = Arc::clone(&renewal.provider);
                // One that hangs must not keep the next from being tried.
                let limit = renewal.due.period();
                renewal.call = Some(Box::pin(async move {
                    let answer = timeout(limit, provider.extend(&held)).await;
                    let none = || SettleError::all(held.iter().copied(), &Error::new(ErrorKind::Timeout, "no answer"));
                    answer.unwrap_or_else(|_| Err(none()))
                }));
            }
        }
    }
}

impl Renewal {
    /// Forgets the leases that are lost, and returns them.
    fn note(&mut self, result: Result<(), SettleError>) -> Vec<Receipt> {
        let mut lost = Vec::new();
        for (receipt, error) in result.err().map(SettleError::into_failures).unwrap_or_default() {
            if error.kind() != ErrorKind::Stale {
                warn!(queue = self.provider.queue(), ?receipt, %error, "lease not renewed this time");
            } else if self.held.remove(&receipt) {
                lost.push(receipt);
            }
            // What is not held any more was settled while the renewal was under way.
        }
        lost
    }
}
