//! How deliveries are settled.

use std::sync::Arc;

use swarrot_core::{DeadLetter, Error, Outcome, Receipt, RequeuePosition, Result, Settlement};
use tokio::time::Instant;

use super::State;
use super::entry::{Incoming, Return};
use super::publish::due;
use super::queue::{Queue, Unsettled};
use crate::{convert, error};

impl Queue {
    /// The delivery with this receipt, if this provider holds it.
    pub(super) fn held_by(&mut self, provider: u64, receipt: Receipt) -> Option<&mut Unsettled> {
        let unsettled = self.unsettled.get_mut(&receipt.high())?;
        let same = Receipt::new(receipt.high(), unsettled.entry.sequence) == receipt;
        (same && unsettled.provider == provider && !unsettled.ack_lost).then_some(unsettled)
    }
}

impl State {
    /// Settles deliveries of this provider; answers with those that failed.
    ///
    /// # Errors
    /// If the provider is closed.
    pub(crate) fn settle(
        &mut self,
        provider: u64,
        settlements: &[Settlement],
        now: Instant,
    ) -> Result<Vec<(Receipt, Error)>> {
        let member = self.members.get(&provider).ok_or_else(|| error::closed("provider"))?;
        let (name, dead_letter) = (Arc::clone(&member.queue), member.dead_letter);
        self.advance(&name, now);
        let mut failures = Vec::new();
        for Settlement { receipt, outcome } in settlements {
            if let Err(error) = self.settle_one(provider, &name, dead_letter, *receipt, outcome, now) {
                failures.push((*receipt, error.with_operation("settle").with_target(&*name)));
            }
        }
        // There is room for more now, and something may have come back.
        self.wake(&name);
        self.tell_if_idle(&name);
        Ok(failures)
    }

    fn settle_one(
        &mut self,
        provider: u64,
        name: &Arc<str>,
        dead_letter: DeadLetter,
        receipt: Receipt,
        outcome: &Outcome,
        now: Instant,
    ) -> Result<()> {
        let queue = self.queues.get_mut(name).ok_or_else(error::stale)?;
        let unsettled = queue.held_by(provider, receipt).ok_or_else(error::stale)?;
        // First whatever can fail, then what settles it: under one lock it happens as a whole or not at all.
        let incoming = match outcome {
            Outcome::Ack if self.faults.loses_ack() => {
                unsettled.ack_lost = true;
                self.let_go(provider);
                return Ok(());
            }
            Outcome::Retry { after, reason } => {
                let due = due(Some(*after), now)?;
                let copy = convert::delivery(name, &unsettled.entry, receipt.high()).retry_copy(reason.as_ref());
                // It always fits: refused, it would stay in its worker's hands, and with enough of them nobody would take
                // anything out of the full queue any more.
                Some(Incoming { message: Arc::new(copy), exchange: "".into(), routing_key: Arc::clone(name), due })
            }
            Outcome::Reject { reason } if dead_letter == DeadLetter::Park => {
                let entry = unsettled.entry.clone();
                self.park(name, &entry, reason, now)?;
                None
            }
            _ => None,
        };
        let taken = self.queues.get_mut(name).and_then(|queue| queue.take_unsettled(receipt.high()));
        let entry = taken.ok_or_else(error::stale)?.entry;
        self.let_go(provider);
        match outcome {
            Outcome::Ack => self.counts.acked += 1,
            Outcome::Retry { .. } => incoming.into_iter().for_each(|copy| self.enqueue(name, copy, now)),
            Outcome::Reject { .. } if dead_letter == DeadLetter::Drop => self.counts.dropped += 1,
            Outcome::Reject { .. } => {}
            Outcome::Requeue => {
                let to_tail = self.profile.capabilities().requeue_position == RequeuePosition::Tail;
                let how = if to_tail { Return::CountedToTail } else { Return::Counted };
                self.give_back(name, entry, how, now);
            }
            Outcome::Release => self.give_back(name, entry, Return::Uncounted, now),
        }
        Ok(())
    }

    fn let_go(&mut self, provider: u64) {
        if let Some(member) = self.members.get_mut(&provider) {
            member.held -= 1;
        }
    }
}
