//! The requests that wait for their replies.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::message::Message;

/// The requests that wait for their replies, by correlation id.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<String, oneshot::Sender<Message>>,
    closed: bool,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more request; `None` once closed.
    pub(super) fn add(&self) -> Option<Waiting<'_>> {
        let id = Uuid::now_v7().to_string();
        let (sender, reply) = oneshot::channel();
        let mut table = self.lock();
        if table.closed {
            return None;
        }
        table.waiting.insert(id.clone(), sender);
        Some(Waiting { pending: self, id, reply })
    }

    /// Hands a reply to the request that it answers; false if none waits for it.
    pub(super) fn answer(&self, reply: &Message) -> bool {
        let Some(id) = reply.properties.correlation_id.as_deref() else { return false };
        let waiting = self.lock().waiting.remove(id);
        waiting.is_some_and(|waiting| waiting.send(reply.clone()).is_ok())
    }

    /// Ends all requests, and those to come.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        table.waiting.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }
}

/// A request that waits for its reply. Dropped, it waits no more.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pending: &'a Pending,
    id: String,
    reply: oneshot::Receiver<Message>,
}

impl Waiting<'_> {
    /// Its correlation id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The reply; `None` if there will be none, since the requester was closed.
    pub(super) async fn reply(&mut self) -> Option<Message> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pending.lock().waiting.remove(&self.id);
    }
}
