//! The task that reads: it keeps a connection of its own to wait on, and makes it again when it broke.

use std::sync::Arc;
use std::time::Duration;

use swarrot_core::{Backoff, ConnectionState, Error};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::session::Session;
use super::{Phase, Shared};

/// Says that the reader runs no more, however it ended: a runtime that shuts down drops it.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_replace(false);
        // Who waits starts another.
        self.0.arrived.notify_waiters();
    }
}

/// Reads until the provider stops. What fails for good is told to `receive`, which begins anew when it is called again.
pub(super) async fn run(shared: Arc<Shared>) {
    let _running = Running(Arc::clone(&shared));
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    // The connection before, which the server may still take for alive.
    let mut before = None;
    while shared.phase() == Phase::Open {
        let result = match Session::open(&shared, &mut before).await {
            Ok(mut session) => session.run(&mut backoff).await,
            Err(error) => Err(error),
        };
        let Err(error) = result else { break };
        if shared.phase() != Phase::Open {
            break;
        }
        let temporary = error.is_temporary();
        debug!(queue = &*shared.queue, %error, temporary, "the connection that reads ended");
        shared.failed(error);
        if !temporary {
            break;
        }
        let pause = backoff.next_delay();
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.stopped() => {}
        }
    }
    let all = shared.phase() == Phase::Closed;
    if let Err(error) = shared.give_back(all).await {
        warn!(queue = &*shared.queue, %error, "deliveries were not given back; they come again when their leases end");
    }
}

impl Shared {
    /// Ends when the provider stops.
    pub(super) async fn stopped(&self) {
        while self.phase() == Phase::Open {
            self.changed.notified().await;
        }
    }

    /// Tells the next `receive` what went wrong.
    fn failed(&self, error: Error) {
        {
            let mut state = self.lock();
            if state.phase == Phase::Closed {
                return;
            }
            state.connection = if error.is_temporary() { ConnectionState::Connecting } else { ConnectionState::Closed };
            state.error = Some(error.with_operation("receive").with_target(&*self.queue));
        }
        self.arrived.notify_waiters();
    }

    pub(super) fn connected(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Closed {
            state.connection = ConnectionState::Connected;
            // It is mended; whoever waited was told.
            state.error = None;
        }
    }
}
