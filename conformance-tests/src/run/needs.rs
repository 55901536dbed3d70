//! What a case needs from a backend or a harness.

use crate::harness::Harness;

/// What a case needs. Where it is missing the case is ignored, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The backend claims it.
    Claimed(Claim),
    /// The backend must not claim it: the case checks that it refuses.
    Unclaimed(Claim),
    /// The harness can make it.
    Made(Fault),
}

/// A capability that a backend claims, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Unroutable,
    Durable,
    Ordered,
    DeliveryCount,
    Priority,
    Ttl,
    LengthLimit,
    Lease,
    Browse,
    List,
    Delay,
    DeadLetter,
}

/// A fault that a harness can make, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut,
    Freeze,
    Restart,
    Block,
    CloseAllConnections,
}

impl Need {
    /// Why this harness lacks it, if it does.
    pub(crate) fn missing(self, harness: &dyn Harness) -> Option<String> {
        match self {
            Self::Claimed(claim) => {
                (!claim.is_made_by(harness)).then(|| format!("the backend does not claim {}", claim.words()))
            }
            Self::Unclaimed(claim) => {
                claim.is_made_by(harness).then(|| format!("the backend claims {}", claim.words()))
            }
            Self::Made(fault) => (!fault.is_made_by(harness)).then(|| format!("the harness cannot {}", fault.words())),
        }
    }
}

impl Claim {
    fn is_made_by(self, harness: &dyn Harness) -> bool {
        let claimed = harness.capabilities();
        match self {
            Self::Unroutable => claimed.unroutable,
            Self::Durable => claimed.durable,
            Self::Ordered => claimed.ordered,
            Self::DeliveryCount => claimed.delivery_count,
            Self::Priority => claimed.max_priority.is_some(),
            Self::Ttl => claimed.ttl,
            Self::LengthLimit => claimed.length_limit,
            Self::Lease => claimed.lease.is_some(),
            Self::Browse => claimed.browse,
            Self::List => claimed.list,
            Self::Delay => claimed.max_delay.is_some(),
            Self::DeadLetter => claimed.dead_letter,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Unroutable => "that an unroutable publish is an error",
            Self::Durable => "to survive a restart",
            Self::Ordered => "to keep the order",
            Self::DeliveryCount => "to count deliveries",
            Self::Priority => "priorities",
            Self::Ttl => "that messages expire",
            Self::LengthLimit => "a queue length limit",
            Self::Lease => "leases",
            Self::Browse => "to show messages without taking them",
            Self::List => "to tell which queues there are",
            Self::Delay => "delays",
            Self::DeadLetter => "dead letters",
        }
    }
}

impl Fault {
    fn is_made_by(self, harness: &dyn Harness) -> bool {
        let faults = harness.faults();
        match self {
            Self::Cut => faults.cut,
            Self::Freeze => faults.freeze,
            Self::Restart => faults.restart,
            Self::Block => faults.block,
            Self::CloseAllConnections => faults.close_all_connections,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Cut => "cut connections",
            Self::Freeze => "freeze connections",
            Self::Restart => "restart the broker",
            Self::Block => "make the broker refuse messages",
            Self::CloseAllConnections => "have the broker close connections",
        }
    }
}
