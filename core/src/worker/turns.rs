//! Who may run beside whom: a delivery that may have ended workers before runs alone.
//!
//! Whatever a process holds when it dies is delivered again and counted, the culprit as well as those beside it. If they
//! came together again each time, they would all reach the limit of deliveries, and be parked, together. A suspect
//! therefore runs alone, and of several suspects any may be the first: those that run before the culprit are settled,
//! and so each death leaves about half of them.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard};
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
    /// Waits while a handler runs alone. Others may run until what is returned is dropped.
    pub(super) async fn beside_others(&self) -> RwLockReadGuard<'_, ()> {
        // To wait takes of the task's budget, even where there is nothing to wait for: once it is used up, a delivery would
        // be overtaken by later ones, and acknowledgements that are not in order go to the broker one by one.
        match self.0.try_read() {
            Ok(turn) => turn,
            Err(_) => Box::pin(self.0.read()).await,
        }
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_turn_that_is_free_takes_nothing_of_the_budget() {
        let turns = Turns::default();
        // More than tokio's budget for one poll of a task.
        for n in 0..1000 {
            assert!(turns.beside_others().now_or_never().is_some(), "the {n}th is overtaken by those behind it");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_to_run_alone_is_not_passed_by() {
        let turns = Turns::default();
        let first = turns.beside_others().await;
        let mut alone = pin!(turns.alone(async {}));
        assert!(timeout(2 * SHUFFLE, &mut alone).await.is_err(), "another runs");
        assert!(turns.beside_others().now_or_never().is_none(), "it is behind the one that waits");
        drop(first);
        alone.await;
        assert!(turns.beside_others().now_or_never().is_some());
    }
}
