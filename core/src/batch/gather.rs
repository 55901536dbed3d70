//! How deliveries gather in a batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

use crate::error::BoxError;
use crate::outcome::Outcome;
use crate::worker::WorkerHandle;

/// The batch that gathers at the moment, if there is one.
pub(super) struct Gather<T>(Mutex<Forming<T>>);

struct Forming<T> {
    /// Which batch it is: each has a number of its own.
    number: u64,
    /// `None` between two batches.
    open: Option<Open<T>>,
    members: Vec<Member<T>>,
    seats: u64,
}

/// What a batch needs while it gathers.
struct Open<T> {
    full: oneshot::Sender<Vec<Member<T>>>,
    /// Ends once nobody in the batch waits for it any more.
    task: Arc<AbortOnDropHandle<()>>,
}

/// One delivery of a batch.
pub(super) struct Member<T> {
    seat: u64,
    pub(super) item: T,
    pub(super) answer: oneshot::Sender<Answer>,
    /// What it was handled in, for the traces.
    pub(super) span: Span,
}

pub(super) type Answer = Result<Outcome, BoxError>;

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self(Mutex::new(Forming { number: 0, open: None, members: Vec::new(), seats: 0 }))
    }
}

impl<T> Gather<T> {
    /// Adds an item to the batch that gathers, or opens a new one; with `full` of them it starts.
    pub(super) fn join(
        self: &Arc<Self>,
        item: T,
        full: usize,
        open: impl FnOnce(Gathering<T>) -> AbortOnDropHandle<()>,
    ) -> Seat<T> {
        let (answer, answered) = oneshot::channel();
        let mut forming = self.lock();
        let forming = &mut *forming;
        let opened = forming.open.get_or_insert_with(|| {
            forming.number += 1;
            let (full, when_full) = oneshot::channel();
            let gathering = Gathering { gather: Arc::clone(self), number: forming.number, when_full };
            Open { full, task: Arc::new(open(gathering)) }
        });
        forming.seats += 1;
        let task = Arc::clone(&opened.task);
        let seat =
            Seat { gather: Arc::clone(self), number: forming.number, place: forming.seats, answered, _task: task };
        forming.members.push(Member { seat: forming.seats, item, answer, span: Span::current() });
        if forming.members.len() >= full
            && let Some(opened) = forming.open.take()
        {
            // Refused only if the runtime has dropped the task; whoever waits learns of it.
            let _ = opened.full.send(std::mem::take(&mut forming.members));
        }
        seat
    }

    fn lock(&self) -> MutexGuard<'_, Forming<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the gathering of this batch; `None` if it has ended.
    fn close(&self, number: u64) -> Option<Vec<Member<T>>> {
        let mut forming = self.lock();
        if forming.number != number {
            return None;
        }
        let opened = forming.open.take()?;
        let members = std::mem::take(&mut forming.members);
        drop(forming);
        drop(opened);
        Some(members)
    }

    /// Takes a seat out of a batch that still gathers, and gives the batch up if it was the last one.
    fn leave(&self, number: u64, seat: u64) {
        let mut forming = self.lock();
        if forming.number != number || forming.open.is_none() {
            return;
        }
        let left = forming.members.iter().position(|member| member.seat == seat).map(|at| forming.members.remove(at));
        let opened = if forming.members.is_empty() { forming.open.take() } else { None };
        // What is dropped may be the user's, and may do anything.
        drop(forming);
        drop((left, opened));
    }
}

/// A batch that gathers, as its own task sees it.
pub(super) struct Gathering<T> {
    gather: Arc<Gather<T>>,
    number: u64,
    when_full: oneshot::Receiver<Vec<Member<T>>>,
}

impl<T> Gathering<T> {
    /// Waits until the batch is full, the time is up, or the worker takes nothing more in.
    pub(super) async fn members(mut self, wait: Duration, worker: &WorkerHandle) -> Vec<Member<T>> {
        tokio::select! {
            biased;
            members = &mut self.when_full => return members.unwrap_or_default(),
            () = sleep(wait) => {}
            () = worker.takes_no_more() => {}
        }
        match self.gather.close(self.number) {
            Some(members) => members,
            // It was filled, or given up, in this very moment.
            None => self.when_full.await.unwrap_or_default(),
        }
    }
}

/// A delivery's place in a batch: whoever has it waits for an answer.
pub(super) struct Seat<T> {
    gather: Arc<Gather<T>>,
    number: u64,
    place: u64,
    answered: oneshot::Receiver<Answer>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl<T> Seat<T> {
    /// What became of the delivery; `None` if its batch was dropped.
    pub(super) async fn answer(mut self) -> Option<Answer> {
        (&mut self.answered).await.ok()
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.gather.leave(self.number, self.place);
    }
}
