//! How messages go out.

use std::num::NonZeroUsize;
use std::sync::Arc;

use swarrot_core::{Delivery, Receipt, Result};
use tokio::time::Instant;

use super::State;
use super::queue::Unsettled;
use crate::{convert, error};

/// What a provider gets when it asks for messages.
#[derive(Debug)]
pub(crate) enum Received {
    /// At least one.
    Deliveries(Vec<Delivery>),
    /// Nothing at the moment.
    Nothing,
    /// Nothing ever again.
    Stopped,
}

impl State {
    /// Takes what is ready for this provider, up to `max` and its prefetch.
    pub(crate) fn receive(&mut self, provider: u64, max: NonZeroUsize, now: Instant) -> Result<Received> {
        let member = self.members.get_mut(&provider).ok_or_else(|| error::closed("provider"))?;
        if member.stopped {
            return Ok(Received::Stopped);
        }
        if std::mem::take(&mut member.cut) {
            return Err(error::cut());
        }
        let name = Arc::clone(&member.queue);
        self.queue(&name)?;
        self.advance(&name, now);
        let lease = self.profile.lease().and_then(|lease| now.checked_add(lease));
        let (Some(queue), Some(member)) = (self.queues.get_mut(&name), self.members.get_mut(&provider)) else {
            return Ok(Received::Nothing);
        };
        let count = max.get().min(member.room()).min(queue.ready.len());
        let mut deliveries = Vec::with_capacity(count);
        while deliveries.len() < count {
            let Some(mut entry) = queue.ready.pop() else { break };
            self.last_id += 1;
            let tag = self.last_id;
            entry.deliveries = entry.deliveries.saturating_add(1);
            deliveries.push(convert::delivery(&queue.name, &entry, tag));
            if self.faults.duplicates() {
                self.last_id += 1;
                let mut double = entry.clone();
                (double.sequence, double.position) = (self.last_id, self.last_id);
                (double.deliveries, double.redelivered) = (0, false);
                queue.ready.insert(double);
                self.counts.duplicated += 1;
            }
            if let Some(at) = lease {
                queue.leases.insert((at, tag));
            }
            queue.unsettled.insert(tag, Unsettled { entry, provider, lease, ack_lost: false });
            member.held += 1;
        }
        if deliveries.is_empty() {
            return Ok(Received::Nothing);
        }
        // A lease has begun that others may have to wait for, and a duplicate may have come.
        self.wake(&name);
        Ok(Received::Deliveries(deliveries))
    }

    /// Lets leases begin anew; answers with the receipts whose leases are lost.
    pub(crate) fn extend(&mut self, provider: u64, receipts: &[Receipt], now: Instant) -> Result<Vec<Receipt>> {
        let member = self.members.get(&provider).ok_or_else(|| error::closed("provider"))?;
        let lease = self.profile.lease();
        let name = Arc::clone(&member.queue);
        self.advance(&name, now);
        let Some(queue) = self.queues.get_mut(&name) else { return Ok(receipts.to_vec()) };
        let mut lost = Vec::new();
        for receipt in receipts {
            let Some(unsettled) = queue.held_by(provider, *receipt) else {
                lost.push(*receipt);
                continue;
            };
            let Some(lease) = lease else { continue };
            let (old, new) = (unsettled.lease, now.checked_add(lease));
            unsettled.lease = new;
            old.map(|at| queue.leases.remove(&(at, receipt.high())));
            new.map(|at| queue.leases.insert((at, receipt.high())));
        }
        Ok(lost)
    }
}
