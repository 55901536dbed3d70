//! A key in hand while its message is handled.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

use super::store::{Claim, DedupStore, Owner};
use crate::error::Result;

/// A key that may be claimed. Dropped in the middle of things, as when a handler is cancelled, it tells the store by a task
/// of its own; without a runtime the lease ends by itself.
pub(super) struct Hold<'a> {
    store: &'a Arc<dyn DedupStore>,
    key: String,
    owner: Owner,
    lease: Duration,
    left: Left,
}

/// What the store is still to be told.
#[derive(Clone, Copy)]
enum Left {
    /// The key is free: the message is to be handled again.
    Free,
    /// The message was handled.
    Done {
        keep: Duration,
    },
    Nothing,
}

impl<'a> Hold<'a> {
    pub(super) fn new(store: &'a Arc<dyn DedupStore>, key: String, lease: Duration) -> Self {
        Self { store, key, owner: Owner::unique(), lease, left: Left::Free }
    }

    pub(super) async fn claim(&self) -> Result<Claim> {
        self.store.claim(&self.key, self.owner, self.lease).await
    }

    /// Runs this, and renews the claim meanwhile.
    pub(super) async fn renewed_while<T>(&self, run: impl Future<Output = T>) -> T {
        let mut run = pin!(run);
        let mut renewing = pin!(self.renew());
        tokio::select! {
            biased;
            result = &mut run => result,
            () = &mut renewing => run.await,
        }
    }

    /// Renews the claim until another has it.
    async fn renew(&self) {
        // A third, so that one renewal that fails is made good before the lease ends.
        let every = self.lease / 3;
        let mut due = interval_at(Instant::now() + every, every.max(Duration::from_millis(1)));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            match self.store.claim(&self.key, self.owner, self.lease).await {
                Ok(Claim::Granted) => {}
                Ok(Claim::InProgress(_) | Claim::Done) => {
                    warn!(key = self.key, "the claim was lost while the handler runs; another handles the message too");
                    return;
                }
                Err(error) => warn!(key = self.key, %error, "the claim was not renewed this time"),
            }
        }
    }

    /// The message was handled.
    pub(super) async fn done(mut self, keep: Duration) {
        self.left = Left::Done { keep };
        tell(&**self.store, &self.key, self.owner, self.left).await;
        self.left = Left::Nothing;
    }

    /// The message is to be handled again.
    pub(super) async fn free(mut self) {
        tell(&**self.store, &self.key, self.owner, self.left).await;
        self.left = Left::Nothing;
    }

    /// There is nothing to free.
    pub(super) fn let_go(mut self) {
        self.left = Left::Nothing;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if matches!(self.left, Left::Nothing) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let (store, key, owner, left) =
                (Arc::clone(self.store), std::mem::take(&mut self.key), self.owner, self.left);
            runtime.spawn(async move { tell(&*store, &key, owner, left).await });
        }
    }
}

async fn tell(store: &dyn DedupStore, key: &str, owner: Owner, left: Left) {
    let (told, otherwise) = match left {
        Left::Free => (store.free(key, owner).await, "not freed; it is when the lease ends"),
        Left::Done { keep } => (store.done(key, keep).await, "not noted as done; a duplicate would be handled"),
        Left::Nothing => return,
    };
    if let Err(error) = told {
        warn!(key, %error, "{otherwise}");
    }
}
