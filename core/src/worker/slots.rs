//! The handlers that run at the moment: futures in fixed slots, driven by the worker's own task.
//!
//! A slot's memory and its waker are made once and used again for every delivery, and only slots that were woken are
//! polled.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tracing::error;

use crate::layer::Panicked;

/// How many slots are polled in a row before others have a turn: the worker's loop, and other tasks.
const IN_A_ROW: usize = 128;

/// Futures in numbered slots.
pub(super) struct Slots<F> {
    all: Vec<Slot<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Woken slots in the order in which they were woken, to be polled.
    batch: VecDeque<usize>,
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

/// What a future came to.
pub(super) enum Finished<T> {
    /// It returned this.
    Returned(T),
    /// It panicked.
    Panicked(Panicked),
}

/// The slots that were woken since they were polled last.
#[derive(Default)]
struct Woken {
    slots: Mutex<Vec<usize>>,
    task: AtomicWaker,
}

struct Signal {
    index: usize,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.slots.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
            self.woken.task.wake();
        }
    }
}

impl<F: Future> Slots<F> {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), free: Vec::new(), woken: Arc::default(), batch: VecDeque::new() }
    }

    /// How many futures run.
    pub(super) fn running(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Puts a future into a free slot, or a new one, and returns its number. It runs at the next [`finished`](Self::finished).
    pub(super) fn start(&mut self, future: F) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.all.len();
            let signal = Arc::new(Signal { index, queued: AtomicBool::new(false), woken: Arc::clone(&self.woken) });
            let waker = Waker::from(Arc::clone(&signal));
            self.all.push(Slot { future: Box::pin(None), signal, waker });
            index
        });
        let slot = &mut self.all[index];
        slot.future.set(Some(future));
        slot.waker.wake_by_ref();
        index
    }

    /// Drops the future in this slot. False if none runs there.
    pub(super) fn cancel(&mut self, index: usize) -> bool {
        let slot = &mut self.all[index];
        if slot.future.is_none() {
            return false;
        }
        if let Err(panicked) = Panicked::catch(|| slot.future.set(None)) {
            error!(panic = panicked.text(), "a handler panicked while it was cancelled");
        }
        self.free.push(index);
        true
    }

    /// Runs the futures until at least one has finished, and adds all that have to `finished`.
    ///
    /// Cancel safe: what has finished is in the list when this is ready, and still runs otherwise.
    pub(super) async fn finished(&mut self, finished: &mut Vec<(usize, Finished<F::Output>)>) {
        poll_fn(|cx| self.poll_finished(cx, finished)).await;
    }

    fn poll_finished(&mut self, cx: &Context<'_>, finished: &mut Vec<(usize, Finished<F::Output>)>) -> Poll<()> {
        // Registered before the list is read: a wake-up in between is not lost.
        self.woken.task.register(cx.waker());
        self.batch.extend(self.woken.slots.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        let in_a_row = self.batch.len().min(IN_A_ROW);
        for index in self.batch.drain(..in_a_row) {
            let slot = &mut self.all[index];
            // Before the poll: a wake-up during it counts.
            slot.signal.queued.store(false, Ordering::Release);
            let Some(future) = slot.future.as_mut().as_pin_mut() else { continue };
            let mut slot_cx = Context::from_waker(&slot.waker);
            let result = match Panicked::catch(|| future.poll(&mut slot_cx)) {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(output)) => Finished::Returned(output),
                Err(panicked) => Finished::Panicked(panicked),
            };
            // Dropping a future that panicked may panic again.
            let dropped = Panicked::catch(|| slot.future.set(None));
            let result = dropped.map_or_else(Finished::Panicked, |()| result);
            self.free.push(index);
            finished.push((index, result));
        }
        if !finished.is_empty() {
            return Poll::Ready(());
        }
        if !self.batch.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    type Boxed = BoxFuture<'static, u32>;

    async fn results(slots: &mut Slots<Boxed>) -> Vec<(usize, Result<u32, String>)> {
        let mut finished = Vec::new();
        slots.finished(&mut finished).await;
        let plain = |result| match result {
            Finished::Returned(n) => Ok(n),
            Finished::Panicked(panicked) => Err(panicked.to_string()),
        };
        finished.into_iter().map(|(index, result)| (index, plain(result))).collect()
    }

    fn after(ms: u64, n: u32) -> Boxed {
        async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            n
        }
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_order_of_finishing() {
        let mut slots = Slots::new();
        slots.start(after(20, 20));
        slots.start(after(10, 10));
        assert_eq!(results(&mut slots).await, [(1, Ok(10))]);
        assert_eq!(slots.start(after(5, 5)), 1, "the slot is used again");
        assert_eq!(results(&mut slots).await, [(1, Ok(5))]);
        assert_eq!(results(&mut slots).await, [(0, Ok(20))]);
        assert_eq!(slots.running(), 0);
    }

    #[tokio::test]
    async fn so_many_in_a_row_and_each_in_its_order() {
        let mut slots = Slots::new();
        for n in 0..300 {
            slots.start(async move { n }.boxed());
        }
        let mut seen = Vec::new();
        for expected in [IN_A_ROW, IN_A_ROW, 300 - 2 * IN_A_ROW] {
            let some = results(&mut slots).await;
            assert_eq!(some.len(), expected);
            seen.extend(some.into_iter().map(|(_, result)| result.expect("it returned")));
        }
        assert!(seen.into_iter().eq(0..300));
    }

    #[tokio::test(start_paused = true)]
    async fn those_behind_many_that_wait_have_their_turn() {
        let mut slots = Slots::new();
        for _ in 0..2 * IN_A_ROW {
            slots.start(std::future::pending().boxed());
        }
        slots.start(async { 1 }.boxed());
        let in_time = tokio::time::timeout(Duration::from_secs(1), results(&mut slots)).await;
        assert_eq!(in_time.expect("it is polled"), [(2 * IN_A_ROW, Ok(1))]);
    }

    #[tokio::test]
    async fn a_panic_ends_one_slot_only() {
        let mut slots = Slots::new();
        slots.start(async { panic!("boom {}", 1) }.boxed());
        slots.start(async { 2 }.boxed());
        let mut both = results(&mut slots).await;
        both.sort();
        assert_eq!(both, [(0, Err("the handler panicked: boom 1".to_owned())), (1, Ok(2))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_slot_never_finishes() {
        let mut slots = Slots::new();
        let cancelled = slots.start(after(1, 1));
        slots.start(after(2, 2));
        assert!(slots.cancel(cancelled));
        assert!(!slots.cancel(cancelled));
        assert_eq!(results(&mut slots).await, [(1, Ok(2))]);
    }
}
