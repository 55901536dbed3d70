//! Where deliveries come from.

use std::fmt::Debug;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use async_trait::async_trait;

use super::Capabilities;
use crate::delivery::Delivery;
use crate::error::Result;
use crate::receipt::Receipt;
use crate::settlement::{SettleError, Settlement};

/// Where deliveries come from: one queue of a broker.
///
/// Every call may overlap every other, from any task. A provider mends its own connection, for as long as it takes: a
/// broken connection shows as one temporary error for each failed try, and later calls work again. Every call ends in
/// bounded time, in an error if need be: a worker waits for a `settle` for as long as it runs.
///
/// # Cancel safety
/// A dropped `receive` leaves every message with the broker or in the provider. A dropped `settle`, `extend`, `pause`, `stop`
/// or `close` has taken effect, or not, or takes effect later; it may be repeated.
#[async_trait]
pub trait MessageProvider: Debug + Send + Sync {
    /// The queue's name.
    fn queue(&self) -> &str;

    /// What this provider can do; server version and queue type decide.
    fn capabilities(&self) -> Capabilities;

    /// Whether it is connected at the moment, as far as it knows.
    fn connection(&self) -> ConnectionState;

    /// Sets how many unsettled deliveries it may hold, those it has fetched in advance included.
    ///
    /// A lower number takes nothing back: what is held beyond it drains first. Nothing is fetched before the first
    /// `receive`, so that it costs nothing to call this before.
    ///
    /// # Errors
    /// A temporary error if the broker cannot be told now; the number holds from the next connection on.
    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()>;

    /// Waits for the first delivery, at most `wait`; then takes what is ready, up to `max`. Empty after `wait`, or once
    /// [`stop`](Self::stop) was called.
    ///
    /// Each delivery goes to one caller.
    ///
    /// # Errors
    /// A temporary error for each failed try to connect; [`NotFound`](crate::ErrorKind::NotFound),
    /// [`AccessRefused`](crate::ErrorKind::AccessRefused) and the like when it cannot work at all;
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>>;

    /// Settles deliveries in one go.
    ///
    /// Where an outcome needs a copy, the copy is with the broker before the original is settled; if the copy fails,
    /// the original stays unsettled, and the settlement may be tried again.
    ///
    /// # Errors
    /// Names each receipt that failed, and each that was [`Stale`](crate::ErrorKind::Stale): not held any more, so that
    /// nothing was sent. All others are settled. [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError>;

    /// Tells the broker that these are still being worked on, so that their leases begin anew. Where
    /// [`Capabilities::lease`] is `None` it tells the caller only what is held no more.
    ///
    /// # Errors
    /// Names each receipt that is not held any more as [`Stale`](crate::ErrorKind::Stale), as [`settle`](Self::settle) would, and
    /// each that could not be extended this time.
    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError>;

    /// Fetches nothing more, and gives back what was fetched but not handed out, uncounted where the broker can tell, until
    /// somebody calls [`receive`](Self::receive) again: others may have the messages meanwhile. What was handed out may still
    /// be settled. Under calls of `receive` that wait it fetches on.
    ///
    /// RabbitMQ before 4.3 counts what goes back from a quorum queue as a delivery.
    ///
    /// # Errors
    /// A temporary error if the broker cannot be told; what was fetched is kept then, at the worst.
    async fn pause(&self) -> Result<()>;

    /// Stops receiving: what was fetched but not handed out goes back, uncounted where the broker can tell; what was
    /// handed out may still be settled. Idempotent.
    ///
    /// # Errors
    /// A temporary error if the broker cannot be told; nothing is handed out any more all the same.
    async fn stop(&self) -> Result<()>;

    /// Stops receiving, gives unsettled deliveries back, makes sure that the broker has processed what was settled, and
    /// lets go of its connection. Idempotent.
    ///
    /// # Errors
    /// A temporary error if the broker does not answer; the broker takes unsettled deliveries back by itself then.
    async fn close(&self) -> Result<()>;
}

/// Whether a provider or publisher is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Connected, or not yet asked to connect.
    Connected,
    /// The connection broke; it is being mended.
    Connecting,
    /// It cannot work, or was closed.
    Closed,
}

const _: Option<&dyn MessageProvider> = None;
