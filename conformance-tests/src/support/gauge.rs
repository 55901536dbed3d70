//! How many are inside at once.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::PATIENCE;

/// Counts the handlers that run at the same time, and holds them back until they may go on. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    inside: watch::Sender<usize>,
    most: Arc<AtomicUsize>,
    pass: Arc<Semaphore>,
}

/// One that is inside, until dropped.
#[derive(Debug)]
pub(crate) struct Inside(watch::Sender<usize>);

impl Gauge {
    pub(crate) fn new() -> Self {
        Self { inside: watch::Sender::new(0), most: Arc::default(), pass: Arc::new(Semaphore::new(0)) }
    }

    /// Counts the caller in.
    pub(crate) fn enter(&self) -> Inside {
        self.inside.send_modify(|inside| {
            *inside += 1;
            self.most.fetch_max(*inside, Ordering::SeqCst);
        });
        Inside(self.inside.clone())
    }

    /// Waits for a pass, which [`let_through`](Self::let_through) hands out.
    pub(crate) async fn wait_for_pass(&self) {
        self.pass.acquire().await.expect("never closed").forget();
    }

    /// Hands out passes: so many may go on that wait for one.
    pub(crate) fn let_through(&self, count: usize) {
        self.pass.add_permits(count);
    }

    /// Waits until exactly so many are inside.
    #[track_caller]
    pub(crate) fn reaches(&self, count: usize) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let mut inside = self.inside.subscribe();
        async move {
            let reached = timeout(PATIENCE, inside.wait_for(|inside| *inside == count)).await.is_ok();
            assert!(reached, "{at}: waited for {count} to be in flight at once; there are {}", *inside.borrow());
        }
    }

    /// How many are inside.
    pub(crate) fn now(&self) -> usize {
        *self.inside.borrow()
    }

    /// How many were inside at most since the last call.
    pub(crate) fn take_most(&self) -> usize {
        self.most.swap(self.now(), Ordering::SeqCst)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.send_modify(|inside| *inside -= 1);
    }
}
