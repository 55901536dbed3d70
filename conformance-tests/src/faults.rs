//! How the suite breaks a broker.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use swarrot_core::{BoxError, Broker};

/// Which faults a harness can make.
///
/// ```
/// use swarrot_conformance::Faults;
///
/// let faults = Faults { cut: true, ..Faults::NONE };
/// assert!(!faults.restart);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Faults {
    /// [`FaultyBroker::cut`].
    pub cut: bool,
    /// [`FaultyBroker::freeze`].
    pub freeze: bool,
    /// [`FaultyBroker::kill`] and [`FaultyBroker::restart`].
    pub restart: bool,
    /// [`FaultyBroker::block`] and [`FaultyBroker::unblock`].
    pub block: bool,
    /// [`FaultyBroker::close_all_connections`].
    pub close_all_connections: bool,
}

impl Faults {
    /// None, to build upon.
    pub const NONE: Self =
        Self { cut: false, freeze: false, restart: false, block: false, close_all_connections: false };
}

/// A broker that one case at a time may break. Only the methods that [`Harness::faults`](crate::Harness::faults) claims
/// are called; the others need no body.
#[async_trait]
pub trait FaultyBroker: Debug + Send + Sync {
    /// A new connection, which the faults below break.
    ///
    /// # Errors
    /// If the broker cannot be reached.
    async fn connect(&self) -> Result<Arc<dyn Broker>, BoxError>;

    /// Breaks every connection at once, with nothing said to either side, and lets no new one in before
    /// [`heal`](Self::heal).
    ///
    /// # Errors
    /// If that cannot be done.
    async fn cut(&self) -> Result<(), BoxError> {
        Err(not_claimed("cut"))
    }

    /// Lets nothing pass in either direction, and closes nothing, until [`heal`](Self::heal): what a dead network looks
    /// like from both ends. New connections are taken and hang.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn freeze(&self) -> Result<(), BoxError> {
        Err(not_claimed("freeze"))
    }

    /// Ends [`cut`](Self::cut) and [`freeze`](Self::freeze). Connections that hung may break.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn heal(&self) -> Result<(), BoxError> {
        Err(not_claimed("heal"))
    }

    /// Ends the server at once, as `kill -9` does.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn kill(&self) -> Result<(), BoxError> {
        Err(not_claimed("kill"))
    }

    /// Starts the server again on the same data, and returns once it takes connections.
    ///
    /// # Errors
    /// If it does not start.
    async fn restart(&self) -> Result<(), BoxError> {
        Err(not_claimed("restart"))
    }

    /// Makes the broker take no more messages, as a memory alarm does.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn block(&self) -> Result<(), BoxError> {
        Err(not_claimed("block"))
    }

    /// Ends [`block`](Self::block).
    ///
    /// # Errors
    /// If that cannot be done.
    async fn unblock(&self) -> Result<(), BoxError> {
        Err(not_claimed("unblock"))
    }

    /// Has the server close every connection in good order, as an operator may.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn close_all_connections(&self) -> Result<(), BoxError> {
        Err(not_claimed("close_all_connections"))
    }

    /// How many connections are open at the moment; `None` if nobody can tell.
    ///
    /// # Errors
    /// If the broker cannot be asked.
    async fn connections(&self) -> Result<Option<usize>, BoxError> {
        Ok(None)
    }

    /// How many objects (queues, keys, …) the broker has at the moment that exist only to hold delayed messages back;
    /// `None` if a delay needs no object, or nobody can tell.
    ///
    /// # Errors
    /// If the broker cannot be asked; the case fails.
    async fn delay_objects(&self) -> Result<Option<usize>, BoxError> {
        Ok(None)
    }
}

fn not_claimed(fault: &str) -> BoxError {
    format!("this harness cannot make the fault `{fault}`; it must not claim it in `faults`").into()
}

const _: Option<&dyn FaultyBroker> = None;
