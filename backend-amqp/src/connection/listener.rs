//! Follows what a connection says of itself: whether the server takes messages on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use lapin::{Connection, Event};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The one listener to the events of the present connection. Once that has ended, or this is dropped, nothing is blocked
/// any more: nobody would say when it no longer is.
pub(super) struct Listener {
    task: AbortHandle,
    over: Arc<AtomicBool>,
    blocked: watch::Sender<bool>,
}

impl Listener {
    pub(super) fn start(connection: &Connection, blocked: watch::Sender<bool>, role: &'static str) -> Self {
        let mut events = Box::pin(connection.events_listener());
        let status = connection.status().clone();
        blocked.send_replace(status.blocked());
        let over = Arc::new(AtomicBool::new(false));
        let listen = {
            let (over, blocked) = (Arc::clone(&over), blocked.clone());
            async move {
                while let Some(event) = events.next().await {
                    let now = match event {
                        Event::ConnectionBlocked(reason) => {
                            tracing::warn!(role, reason, "the server takes no messages");
                            true
                        }
                        Event::ConnectionUnblocked => {
                            tracing::info!(role, "the server takes messages again");
                            false
                        }
                        // lapin goes on to listen, but the connection has ended.
                        Event::Error(_) if !status.connected() => false,
                        _ => continue,
                    };
                    // Looked at under the lock: what is dropped meanwhile has the last word.
                    blocked.send_if_modified(|blocked| !over.load(Ordering::SeqCst) && replace(blocked, now));
                }
            }
        };
        Self { task: tokio::spawn(listen).abort_handle(), over, blocked }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        self.over.store(true, Ordering::SeqCst);
        self.blocked.send_if_modified(|blocked| replace(blocked, false));
    }
}

/// Whether it was another.
fn replace(value: &mut bool, by: bool) -> bool {
    std::mem::replace(value, by) != by
}
