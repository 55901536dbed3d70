//! What should go wrong next.

use std::collections::VecDeque;

/// What should go wrong next.
#[derive(Debug, Default)]
pub(crate) struct FaultState {
    /// No publish goes through.
    pub(crate) blocked: bool,
    /// What becomes of the next publishes, each with how many.
    publishes: VecDeque<(PublishFault, u64)>,
    lost_acks: u64,
    duplicates: u64,
}

/// What becomes of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishFault {
    /// It takes effect, and its confirmation is lost.
    Applied,
    /// The connection breaks before it takes effect.
    NotApplied,
    /// The broker refuses it.
    Rejected,
}

impl FaultState {
    pub(crate) fn fail_publishes(&mut self, fault: PublishFault, count: u64) {
        self.publishes.push_back((fault, count));
    }

    pub(crate) fn lose_acks(&mut self, count: u64) {
        self.lost_acks = self.lost_acks.saturating_add(count);
    }

    pub(crate) fn duplicate(&mut self, count: u64) {
        self.duplicates = self.duplicates.saturating_add(count);
    }

    pub(super) fn next_publish(&mut self) -> Option<PublishFault> {
        while let Some((fault, count)) = self.publishes.front_mut() {
            if *count > 0 {
                *count -= 1;
                return Some(*fault);
            }
            self.publishes.pop_front();
        }
        None
    }

    pub(super) fn loses_ack(&mut self) -> bool {
        take_one(&mut self.lost_acks)
    }

    pub(super) fn duplicates(&mut self) -> bool {
        take_one(&mut self.duplicates)
    }
}

fn take_one(count: &mut u64) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}
