//! A message on its way through a publisher, and the answer that its caller waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lapin::BasicProperties;
use lapin::types::ShortString;
use swarrot_core::{Error, ErrorKind, Message, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::topology::delay::Bucket;

/// A message that was taken over from a caller and has no verdict yet.
pub(super) struct Entry {
    pub(super) message: Message,
    /// What it was translated to, until it is sent. For sending it again it is translated again.
    pub(super) properties: Option<BasicProperties>,
    pub(super) routing_key: ShortString,
    /// Where it waits first, if it is delayed.
    pub(super) bucket: Option<Bucket>,
    pub(super) deadline: Instant,
    pub(super) stage: Stage,
    /// When it was sent the last time.
    pub(super) sent_at: Option<Instant>,
    /// What became of it before, without a verdict.
    pub(super) lost: Lost,
    pub(super) refusals: u32,
    /// Its delay queue was found missing once, and made again.
    pub(super) missed: bool,
    pub(super) answer: Answer,
    /// Its share of the room that a publisher has; free again with the verdict.
    pub(super) room: Option<Room>,
}

impl Entry {
    /// One that has neither room nor anybody who waits for it.
    pub(super) fn new(
        message: Message,
        properties: BasicProperties,
        routing_key: ShortString,
        bucket: Option<Bucket>,
        deadline: Instant,
    ) -> Self {
        Self {
            message,
            properties: Some(properties),
            routing_key,
            bucket,
            deadline,
            stage: Stage::Queued,
            sent_at: None,
            lost: Lost::Never,
            refusals: 0,
            missed: false,
            answer: Answer::default(),
            room: None,
        }
    }
}

/// Whether an entry was sent before, on a channel that ended without a verdict on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// It was not.
    Never,
    /// The server closed the channel over one message on it, which may have been this one.
    WithChannel,
    /// The connection broke: it may have been taken.
    WithConnection,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits to be sent.
    Queued,
    /// Waits for its delay queue to be declared.
    Declaring,
    /// Sent on the present channel.
    Flying,
    /// Refused by the broker, and to be sent again.
    Refused,
    /// Confirmed by a delay queue that was made just now: it may yet be forgotten.
    Ripening,
}

/// The room that a message takes up: in number and in bytes.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The results of one call.
#[derive(Debug)]
pub(super) struct Batch {
    results: Mutex<Vec<Option<Result<()>>>>,
    missing: AtomicUsize,
    complete: Notify,
}

impl Batch {
    pub(super) fn new(length: usize) -> Arc<Self> {
        Arc::new(Self {
            results: Mutex::new(vec![None; length]),
            missing: AtomicUsize::new(length),
            complete: Notify::new(),
        })
    }

    /// The place for one result.
    pub(super) fn answer(self: &Arc<Self>, index: usize) -> Answer {
        Answer(Some((Arc::clone(self), index)))
    }

    /// Waits for all results.
    pub(super) async fn results(&self) -> Vec<Result<()>> {
        while self.missing.load(Ordering::Acquire) > 0 {
            // There is one caller, and `notify_one` keeps: nothing is missed between the check and the wait.
            self.complete.notified().await;
        }
        let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(abandoned()))).collect()
    }

    fn set(&self, index: usize, result: Result<()>) {
        if let Some(place) = self.results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *place = Some(result);
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete.notify_one();
        }
    }
}

/// The place for one result, filled at most once; by default there is none.
#[derive(Debug, Default)]
pub(super) struct Answer(Option<(Arc<Batch>, usize)>);

impl Answer {
    pub(super) fn give(mut self, result: Result<()>) {
        if let Some((batch, index)) = self.0.take() {
            batch.set(index, result);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The task that had it ended, as it does when the runtime is shut down: nobody may wait for ever.
        if let Some((batch, index)) = self.0.take() {
            batch.set(index, Err(abandoned()));
        }
    }
}

fn abandoned() -> Error {
    Error::new(ErrorKind::Unknown, "the publisher ended before the confirmation came").with_operation("publish")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_place_is_filled() {
        let batch = Batch::new(3);
        let [first, second, third] = [0, 1, 2].map(|index| batch.answer(index));
        third.give(Err(Error::new(ErrorKind::Unroutable, "no queue")));
        first.give(Ok(()));
        drop(second);
        let kinds: Vec<_> = batch.results().await.into_iter().map(|r| r.map_err(|e| e.kind())).collect();
        assert_eq!(kinds, [Ok(()), Err(ErrorKind::Unknown), Err(ErrorKind::Unroutable)]);
    }
}
