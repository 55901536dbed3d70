//! Waits until replicas have what was written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::cmd;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{Conn, Link};
use crate::error::CallError;

/// The longest that the server waits at a time: all else that goes over the connection waits with it.
const STEP: Duration = Duration::from_millis(500);

/// How long before the deadline it is given up at most, so that it can still be told why: a server that has nothing else to do ends a
/// wait up to 100 ms late.
const MARGIN: Duration = Duration::from_millis(250);

/// How many replicas have to have a message before it is confirmed, and what is known of that.
#[derive(Debug)]
pub(crate) struct Replicas {
    wanted: u32,
    /// Waits that were ever begun.
    begun: AtomicU64,
    /// The last wait that was long enough: the epoch of its connection, and its number. Who holds it waits for all.
    enough: Mutex<(u64, u64)>,
}

impl Replicas {
    pub(crate) fn new(wanted: u32) -> Self {
        Self { wanted, begun: AtomicU64::new(0), enough: Mutex::default() }
    }

    /// Whether enough replicas have all that was written over this connection before the call; `false` if they do not have it by the
    /// deadline. Several calls share a wait that begins after both.
    ///
    /// The connection has to be that of the writes: `WAIT` means those of its own client, and another one may lead to another server.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn have_it(
        &self,
        link: &Link,
        (epoch, connection): &(u64, Conn),
        deadline: Instant,
    ) -> Result<bool, CallError> {
        if self.wanted == 0 {
            return Ok(true);
        }
        let before = self.begun.load(Ordering::SeqCst);
        let left = deadline.saturating_duration_since(Instant::now());
        let end = deadline - MARGIN.min(left / 4);
        loop {
            let Ok(mut enough) = timeout_at(end, self.enough.lock()).await else { return Ok(false) };
            if enough.0 == *epoch && enough.1 > before {
                return Ok(true);
            }
            // Without a time the server would wait for ever.
            let step = end.saturating_duration_since(Instant::now()).min(STEP).as_millis();
            if step == 0 {
                return Ok(false);
            }
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let mut wait = cmd("WAIT");
            wait.arg(self.wanted).arg(u64::try_from(step).unwrap_or(1));
            let have: u32 = link.command_on((*epoch, connection.clone()), &wait).await?;
            if have >= self.wanted {
                *enough = (*epoch, number);
                return Ok(true);
            }
        }
    }
}
