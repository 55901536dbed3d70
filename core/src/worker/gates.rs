//! The gates of a worker: passed before each `receive`, told of what became of what came.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::select_all;
use tracing::{error, warn};

use super::shared::Shared;
use crate::delivery::Delivery;
use crate::error::BoxError;
use crate::gate::{Flow, Gate, Permit};
use crate::layer::Panicked;
use crate::outcome::Outcome;

/// The gates of a worker, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates(Vec<Arc<dyn Gate>>);

impl Gates {
    pub(super) fn push(&mut self, gate: Arc<dyn Gate>) {
        self.0.push(gate);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until at most `max` deliveries may be fetched. Cancel safe: permits that were got so far are given back.
    pub(super) async fn enter(&self, shared: &Shared, max: NonZeroUsize) -> Permits {
        let mut permits = Permits(Vec::with_capacity(self.0.len()));
        for gate in &self.0 {
            let max = permits.deliveries().unwrap_or(max);
            let mut entering = pin!(gate.enter(max));
            let at_once = poll_fn(|cx| Poll::Ready(entering.as_mut().poll(cx))).await;
            let permit = match at_once {
                Poll::Ready(permit) => permit,
                Poll::Pending => {
                    let _held = shared.held.begin(gate);
                    if gate.flow() == Flow::Held {
                        tokio::select! {
                            permit = &mut entering => permit,
                            () = pause(shared) => entering.await,
                        }
                    } else {
                        entering.await
                    }
                }
            };
            permits.0.push((Arc::clone(gate), permit));
        }
        permits
    }

    /// Whether anything should be fetched in advance.
    pub(super) fn flow(&self) -> Flow {
        self.0.iter().map(Gate::flow).max().unwrap_or(Flow::Free)
    }
}

/// Gives back what was fetched in advance, so that others may have it.
async fn pause(shared: &Shared) {
    if let Err(error) = shared.provider.pause().await {
        warn!(queue = shared.provider.queue(), %error, "what was fetched in advance is kept from others for now");
    }
}

/// The permits of one call of `receive`. Dropped, they are given back.
#[derive(Debug, Default)]
pub(super) struct Permits(Vec<(Arc<dyn Gate>, Permit)>);

impl Permits {
    /// How many deliveries they are for; `None` where there is no gate.
    pub(super) fn deliveries(&self) -> Option<NonZeroUsize> {
        // Each gate was asked for no more than the one before has granted.
        self.0.last().map(|(_, permit)| permit.deliveries())
    }

    /// Waits until one of them is good no more. Cancel safe.
    pub(super) async fn revoked(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter().map(|(gate, permit)| gate.revoked(*permit))).await;
    }

    /// These came.
    pub(super) fn used(mut self, came: Vec<Delivery>) -> Arrived {
        let permits = std::mem::take(&mut self.0);
        leave(&permits, came.len());
        Arrived { deliveries: came.into_iter(), through: Through((!permits.is_empty()).then(|| permits.into())) }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        leave(&self.0, 0);
    }
}

fn leave(permits: &[(Arc<dyn Gate>, Permit)], came: usize) {
    for (gate, permit) in permits {
        tell(|| gate.leave(*permit, came));
    }
}

/// A gate may be the user's code: a panic there must not end the loop with all that it has in flight.
fn tell(gate: impl FnOnce()) {
    if let Err(panicked) = Panicked::catch(gate) {
        error!(panic = panicked.text(), "a gate panicked");
    }
}

/// Deliveries that have arrived, each with the permits by which it came.
#[derive(Debug)]
pub(super) struct Arrived {
    deliveries: std::vec::IntoIter<Delivery>,
    through: Through,
}

impl Arrived {
    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.len() == 0
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }
}

impl Iterator for Arrived {
    type Item = (Delivery, Passed);

    fn next(&mut self) -> Option<Self::Item> {
        let delivery = self.deliveries.next()?;
        Some((delivery, Passed(self.through.clone())))
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[derive(Clone, Debug)]
struct Through(Option<Arc<[Entered]>>);

/// A gate, and the permit that it gave.
type Entered = (Arc<dyn Gate>, Permit);

/// A delivery that has passed the gates: they are told once what becomes of it, however it ends.
#[derive(Debug)]
pub(super) struct Passed(Through);

impl Passed {
    /// It was handled, with this result.
    pub(super) fn handled(mut self, delivery: &Delivery, result: &Result<Outcome, BoxError>) {
        for (gate, permit) in self.0.0.take().iter().flat_map(|through| through.iter()) {
            tell(|| gate.handled(*permit, delivery, result));
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        for (gate, permit) in self.0.0.take().iter().flat_map(|through| through.iter()) {
            tell(|| gate.not_handled(*permit));
        }
    }
}
