//! What holds workers back before they fetch.

mod kill_switch;
mod promises;
mod rate_limit;

use std::fmt::{Debug, Display};
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::kill_switch::{KillSwitch, Verdict};
pub use self::rate_limit::RateLimit;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::outcome::Outcome;

/// Holds workers back before they fetch, so that messages stay in the broker instead of waiting in hand.
///
/// A worker passes its gates, in the order in which it was given them, before each
/// [`receive`](crate::MessageProvider::receive). One gate may be shared by several workers: give each a clone of its `Arc`.
/// `Display` says, in a few words for people, what it holds back for at the moment.
///
/// For each permit of [`enter`](Self::enter) there is one call of [`leave`](Self::leave), and after it one of
/// [`handled`](Self::handled) or [`not_handled`](Self::not_handled) for each delivery that came, whatever is dropped or panics
/// on the way. A gate of your own may open at certain hours, or when a health check says so:
///
/// ```
/// use std::fmt;
/// use std::num::NonZeroUsize;
/// use swarrot_core::gate::{Flow, Gate, Permit};
/// use swarrot_core::{BoxError, Delivery, Outcome, async_trait};
/// use tokio::sync::watch;
///
/// /// Open while this is true.
/// #[derive(Debug)]
/// struct Switch(watch::Sender<bool>);
///
/// impl fmt::Display for Switch {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("switched off by hand")
///     }
/// }
///
/// #[async_trait]
/// impl Gate for Switch {
///     async fn enter(&self, max: NonZeroUsize) -> Permit {
///         let _ = self.0.subscribe().wait_for(|open| *open).await;
///         Permit::new(max)
///     }
///
///     async fn revoked(&self, _: Permit) {
///         let _ = self.0.subscribe().wait_for(|open| !*open).await;
///     }
///
///     fn leave(&self, _: Permit, _: usize) {}
///     fn handled(&self, _: Permit, _: &Delivery, _: &Result<Outcome, BoxError>) {}
///     fn not_handled(&self, _: Permit) {}
///
///     fn flow(&self) -> Flow {
///         if *self.0.borrow() { Flow::Free } else { Flow::Held }
///     }
/// }
/// ```
#[async_trait]
pub trait Gate: Debug + Display + Send + Sync {
    /// Waits until deliveries may be fetched, and says how many: at most `max`.
    ///
    /// # Cancel safety
    /// A dropped call has taken nothing. A worker drops it as soon as it is told to stop.
    async fn enter(&self, max: NonZeroUsize) -> Permit;

    /// Waits until a permit is good no more: whoever waits for deliveries with it drops its `receive` and enters again. Never
    /// ready where that does not happen.
    ///
    /// # Cancel safety
    /// A dropped call changes nothing.
    async fn revoked(&self, permit: Permit);

    /// This many deliveries came with a permit; what is left of it is given back.
    fn leave(&self, permit: Permit, came: usize);

    /// A delivery that came with this permit was handled, and this is what its handler, layers included, returned.
    fn handled(&self, permit: Permit, delivery: &Delivery, result: &Result<Outcome, BoxError>);

    /// A delivery that came with this permit was given back, refused, lost or cancelled before it was handled.
    fn not_handled(&self, permit: Permit);

    /// Whether anything should be fetched in advance at the moment.
    fn flow(&self) -> Flow;
}

/// How many deliveries a worker may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    deliveries: NonZeroUsize,
    tag: u64,
}

impl Permit {
    /// For at most this many.
    pub const fn new(deliveries: NonZeroUsize) -> Self {
        Self { deliveries, tag: 0 }
    }

    /// With a mark by which its gate knows it again.
    pub const fn tagged(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// How many deliveries it is for, at most.
    pub const fn deliveries(self) -> NonZeroUsize {
        self.deliveries
    }

    /// The mark that its gate has set; 0 if it set none.
    pub const fn tag(self) -> u64 {
        self.tag
    }
}

/// Whether anything should be fetched in advance: a provider may hold more than was asked for, up to its prefetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// As much as the prefetch allows. A wait in [`Gate::enter`] is short, or keeps nobody else from the messages.
    Free,
    /// No more than the permits allow: the worker lowers its prefetch to their number and what is in hand.
    Narrow,
    /// Nothing: the worker gives back what was fetched in advance ([`pause`](crate::MessageProvider::pause)).
    Held,
}

/// A shared gate is a gate.
#[async_trait]
impl<G: Gate + ?Sized> Gate for Arc<G> {
    async fn enter(&self, max: NonZeroUsize) -> Permit {
        (**self).enter(max).await
    }

    async fn revoked(&self, permit: Permit) {
        (**self).revoked(permit).await;
    }

    fn leave(&self, permit: Permit, came: usize) {
        (**self).leave(permit, came);
    }

    fn handled(&self, permit: Permit, delivery: &Delivery, result: &Result<Outcome, BoxError>) {
        (**self).handled(permit, delivery, result);
    }

    fn not_handled(&self, permit: Permit) {
        (**self).not_handled(permit);
    }

    fn flow(&self) -> Flow {
        (**self).flow()
    }
}

const _: Option<&dyn Gate> = None;
