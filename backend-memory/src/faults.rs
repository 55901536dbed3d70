//! Faults to switch on, for tests of what must survive them.

use std::sync::Arc;

use tokio::time::Instant;

use crate::connection::Shared;
use crate::state::{FaultState, PublishFault};

/// Makes things go wrong on a [`MemoryBroker`](crate::MemoryBroker), for all who are connected to it. Cheap to clone.
///
/// ```
/// # use swarrot_memory::MemoryBroker;
/// let broker = MemoryBroker::new();
/// broker.faults().lose_acks(1);
/// broker.faults().cut();
/// ```
#[derive(Clone, Debug)]
pub struct Faults(Arc<Shared>);

/// When a publish fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishFailure {
    /// After the broker took the message: the publisher gets [`Unknown`](swarrot_core::ErrorKind::Unknown).
    Applied,
    /// Before the broker took the message: the publisher gets [`Connection`](swarrot_core::ErrorKind::Connection).
    NotApplied,
}

impl Faults {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Cuts every connection. All that is unsettled goes back, and the delivery counts; receipts become stale. Each
    /// provider's next `receive` fails with a temporary error, later ones work.
    pub fn cut(&self) {
        self.0.lock().cut(Instant::now());
    }

    /// Lets no publish through: each waits for [`unblock`](Self::unblock), at most its publisher's timeout, and then
    /// fails with [`Blocked`](swarrot_core::ErrorKind::Blocked). Settlements go on, those with copies too.
    pub fn block(&self) {
        self.0.lock().faults.blocked = true;
    }

    /// Lets publishes through again.
    pub fn unblock(&self) {
        self.0.lock().faults.blocked = false;
        self.0.gate.notify_waiters();
    }

    /// Lets the next `count` publishes fail, after those that already shall.
    pub fn fail_publishes(&self, count: u64, failure: PublishFailure) {
        let fault = match failure {
            PublishFailure::Applied => PublishFault::Applied,
            PublishFailure::NotApplied => PublishFault::NotApplied,
        };
        self.0.lock().faults.fail_publishes(fault, count);
    }

    /// Refuses the next `count` publishes, after those that already shall fail:
    /// [`Rejected`](swarrot_core::ErrorKind::Rejected).
    pub fn reject_publishes(&self, count: u64) {
        self.0.lock().faults.fail_publishes(PublishFault::Rejected, count);
    }

    /// Loses the next `count` acknowledgements: the provider is told that they are settled, and the messages come back
    /// when the connection is cut, the provider closes or the lease ends.
    pub fn lose_acks(&self, count: u64) {
        self.0.lock().faults.lose_acks(count);
    }

    /// Puts a second copy of each of the next `count` delivered messages into its queue, as a publisher does that
    /// repeats: same id, not marked as redelivered.
    pub fn duplicate_deliveries(&self, count: u64) {
        self.0.lock().faults.duplicate(count);
    }

    /// Switches all off that has not happened yet.
    pub fn clear(&self) {
        self.0.lock().faults = FaultState::default();
        self.0.gate.notify_waiters();
    }
}
