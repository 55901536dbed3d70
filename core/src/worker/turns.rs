//! Who may run beside whom: a delivery that may have ended workers before runs alone.
//!
//! Whatever a process holds when it dies is delivered again and counted, the culprit as well as those beside it. If they
//! came together again each time, they would all reach the limit of deliveries, and be parked, together. A suspect
//! therefore runs alone, and of several suspects any may be the first: those that run before the culprit are settled,
//! and so each death leaves about half of them.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};

/// The longest that a suspect waits until nothing else runs, and then keeps others waiting. Handlers that take longer are
/// not worth the standstill.
const ALONE: Duration = Duration::from_secs(30);
/// Suspects that arrive together begin in any order within this time.
const SHUFFLE: Duration = Duration::from_millis(200);

/// The turns of the handlers of one worker.
#[derive(Debug, Default)]
pub(super) struct Turns(RwLock<()>);

impl Turns {
    /// Runs a handler beside others, unless one is running alone.
    pub(super) async fn beside_others<T>(&self, handler: impl Future<Output = T>) -> T {
        let _turn = self.0.read().await;
        handler.await
    }

    /// Runs a handler alone, for as long as that is bearable.
    pub(super) async fn alone<T>(&self, handler: impl Future<Output = T>) -> T {
        sleep(SHUFFLE.mul_f64(fastrand::f64())).await;
        let turn = timeout(ALONE, self.0.write()).await;
        let mut handler = pin!(handler);
        if let Ok(done) = timeout(ALONE, &mut handler).await {
            return done;
        }
        drop(turn);
        handler.await
    }
}
