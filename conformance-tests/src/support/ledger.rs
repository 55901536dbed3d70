//! Counts what was sent, confirmed and received, by the messages' bodies.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use swarrot_core::{Delivery, Message, MessagePublisher, Outgoing, Result};

/// Counts what was sent, confirmed and received. Messages are told apart by their bodies. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    entries: Arc<Mutex<HashMap<Bytes, Entry>>>,
    may_duplicate: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    sent: usize,
    confirmed: usize,
    received: usize,
}

/// The sums over all messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Publishes, successful or not.
    pub(crate) sent: usize,
    /// Publishes that the broker confirmed.
    pub(crate) confirmed: usize,
    /// Deliveries, repeated ones included.
    pub(crate) received: usize,
    /// Messages that were confirmed and never received.
    pub(crate) lost: usize,
    /// Deliveries beyond one for each publish.
    pub(crate) duplicated: usize,
    /// Deliveries of messages that nobody sent.
    pub(crate) unexpected: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, confirmed, received, lost, duplicated, unexpected } = self;
        write!(
            f,
            "sent {sent}, confirmed {confirmed}, received {received}, lost {lost}, duplicated {duplicated}, \
             unexpected {unexpected}"
        )
    }
}

impl Ledger {
    pub(crate) fn new(may_duplicate: bool) -> Self {
        Self { entries: Arc::default(), may_duplicate }
    }

    /// Publishes these bodies in one batch, and notes each result.
    pub(crate) async fn try_publish<B: Into<Bytes>>(
        &self,
        publisher: &dyn MessagePublisher,
        routing_key: &str,
        bodies: impl IntoIterator<Item = B>,
    ) -> Vec<Result<()>> {
        let bodies = bodies.into_iter().map(|body| Outgoing::new(routing_key, Message::new(body))).collect();
        self.try_send(publisher, bodies).await
    }

    /// Publishes this batch, and notes each result.
    pub(crate) async fn try_send(&self, publisher: &dyn MessagePublisher, batch: Vec<Outgoing>) -> Vec<Result<()>> {
        for outgoing in &batch {
            self.with(&outgoing.message.body, |entry| entry.sent += 1);
        }
        let results = publisher.publish(&batch).await;
        assert_eq!(results.len(), batch.len(), "one result for each message of a batch");
        for (outgoing, result) in batch.iter().zip(&results) {
            if result.is_ok() {
                self.with(&outgoing.message.body, |entry| entry.confirmed += 1);
            }
        }
        results
    }

    /// Publishes these bodies in one batch; fails if one of them is not confirmed.
    pub(crate) async fn publish<B: Into<Bytes>>(
        &self,
        publisher: &dyn MessagePublisher,
        routing_key: &str,
        bodies: impl IntoIterator<Item = B>,
    ) {
        let results = self.try_publish(publisher, routing_key, bodies).await;
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            let failed = results.iter().filter(|result| result.is_err()).count();
            panic!("{failed} of {} messages were not published; the first: {error:?}", results.len());
        }
    }

    /// Publishes this batch; fails if one of its messages is not confirmed.
    pub(crate) async fn send(&self, publisher: &dyn MessagePublisher, batch: Vec<Outgoing>) {
        let results = self.try_send(publisher, batch).await;
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            panic!("a message was not published: {error:?}");
        }
    }

    /// Notes a message that was sent by other means and that the broker has.
    pub(crate) fn note_sent(&self, body: impl Into<Bytes>) {
        self.with(&body.into(), |entry| {
            entry.sent += 1;
            entry.confirmed += 1;
        });
    }

    /// Notes a delivery, and says how often this message has now been received.
    pub(crate) fn received(&self, delivery: &Delivery) -> usize {
        self.with(delivery.body(), |entry| {
            entry.received += 1;
            entry.received
        })
    }

    /// Notes deliveries.
    pub(crate) fn received_all(&self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            self.received(delivery);
        }
    }

    /// How many messages are confirmed and not yet received.
    pub(crate) fn outstanding(&self) -> usize {
        self.counts().lost
    }

    /// The sums so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.lock().values() {
            counts.sent += entry.sent;
            counts.confirmed += entry.confirmed;
            counts.received += entry.received;
            counts.lost += entry.confirmed.saturating_sub(entry.received);
            if entry.sent == 0 {
                counts.unexpected += entry.received;
            } else {
                counts.duplicated += entry.received.saturating_sub(entry.sent);
            }
        }
        counts
    }

    /// Fails if a confirmed message was not received, if one came that nobody sent, or, unless the case allows it, if
    /// one came twice.
    #[track_caller]
    pub(crate) fn check(&self) -> Counts {
        let counts = self.counts();
        let at = Location::caller();
        assert!(counts.lost == 0 && counts.unexpected == 0, "{at}: {counts}{}", self.examples());
        assert!(counts.duplicated == 0 || self.may_duplicate, "{at}: {counts}{}", self.examples());
        counts
    }

    /// A few of the messages that are wrong.
    fn examples(&self) -> String {
        let entries = self.lock();
        let wrong = entries.iter().filter(|(_, entry)| {
            entry.received < entry.confirmed || entry.received > entry.sent.max(usize::from(entry.sent == 0))
        });
        wrong.take(5).fold(String::new(), |text, (body, entry)| {
            let body = String::from_utf8_lossy(&body[..body.len().min(60)]);
            text + &format!("; {body:?}: {entry:?}")
        })
    }

    fn with<T>(&self, body: &Bytes, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(body) {
            return change(entry);
        }
        change(entries.entry(body.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use swarrot_core::Receipt;

    use super::*;

    fn arrives(ledger: &Ledger, body: &'static str) -> usize {
        ledger.received(&Delivery::new("q", Receipt::new(0, 0), Message::new(body)))
    }

    #[test]
    fn each_kind_of_fault_is_counted() {
        let ledger = Ledger::new(false);
        for body in ["lost", "twice", "fine"] {
            ledger.note_sent(body);
        }
        assert_eq!(["twice", "twice", "fine", "foreign"].map(|body| arrives(&ledger, body)), [1, 2, 1, 1]);
        let expected = Counts { sent: 3, confirmed: 3, received: 4, lost: 1, duplicated: 1, unexpected: 1 };
        assert_eq!(ledger.counts(), expected);
        assert!(std::panic::catch_unwind(|| ledger.check()).is_err());
    }

    #[test]
    fn duplicates_fail_unless_allowed() {
        for may_duplicate in [false, true] {
            let ledger = Ledger::new(may_duplicate);
            ledger.note_sent("a");
            arrives(&ledger, "a");
            arrives(&ledger, "a");
            assert_eq!(std::panic::catch_unwind(|| ledger.check()).is_ok(), may_duplicate);
        }
    }
}
