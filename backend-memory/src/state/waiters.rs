//! Calls of `receive` that wait.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::State;

/// The calls of `receive` that wait on one queue, the longest-waiting first. Only that one sets a timer for what is due
/// next, so that a message that is due wakes one call and not all.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: VecDeque<Waiter>,
    /// For when the first one has set its timer, if it has.
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    provider: u64,
    notify: Arc<Notify>,
    /// It was told of a message, and has not looked yet.
    woken: bool,
}

impl Waiters {
    /// Makes all calls of this provider look again.
    pub(super) fn notify_provider(&mut self, provider: u64) {
        self.list.iter().filter(|w| w.provider == provider).for_each(|w| w.notify.notify_one());
    }

    /// Makes all calls look again.
    pub(super) fn notify_all(&mut self) {
        self.list.iter().for_each(|w| w.notify.notify_one());
    }
}

impl State {
    pub(super) fn wake(&mut self, queue: &str) {
        // Nearly always while there is work.
        if self.waiting == 0 {
            return;
        }
        self.wake_for_ready(queue);
        self.rearm(queue);
    }

    /// Wakes as many calls as there are ready messages, of providers that may get more.
    fn wake_for_ready(&mut self, queue: &str) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        let mut messages = queue.ready.len();
        if messages == 0 || queue.waiters.list.is_empty() {
            return;
        }
        messages = messages.saturating_sub(queue.waiters.list.iter().filter(|w| w.woken).count());
        for waiter in queue.waiters.list.iter_mut().filter(|w| !w.woken) {
            if messages == 0 {
                break;
            }
            if self.members.get(&waiter.provider).is_some_and(|member| member.room() > 0) {
                waiter.woken = true;
                waiter.notify.notify_one();
                messages -= 1;
            }
        }
    }

    /// Makes the first call set its timer anew if something is due earlier than it knows: on this queue, and on the
    /// dead-letter queues that get what expires here.
    fn rearm(&mut self, queue: &str) {
        let Some(mut name) = self.queues.get(queue).map(|q| Arc::clone(&q.name)) else { return };
        loop {
            let due = self.next_due(&name);
            let Some(queue) = self.queues.get_mut(&name) else { return };
            let waiters = &mut queue.waiters;
            if let (Some(first), Some(at)) = (waiters.list.front(), due)
                && waiters.armed.is_none_or(|armed| at < armed)
            {
                waiters.armed = Some(at);
                first.notify.notify_one();
            }
            name = Arc::clone(&queue.dead_name);
        }
    }

    /// A number for a call that is about to [`wait`](Self::wait), and then has to [`stop_waiting`](Self::stop_waiting).
    pub(crate) fn begin_waiting(&mut self) -> u64 {
        self.waiting += 1;
        self.next_id()
    }

    /// Notes that a call waits, or waits on after it looked in vain, and answers for when it should set a timer.
    pub(crate) fn wait(&mut self, provider: u64, id: u64, notify: &Arc<Notify>) -> Option<Instant> {
        let name = Arc::clone(&self.members.get(&provider)?.queue);
        let due = self.next_due(&name);
        let waiters = &mut self.queues.get_mut(&name)?.waiters;
        let first = waiters.list.front().is_none_or(|w| w.id == id);
        match waiters.list.iter_mut().find(|w| w.id == id) {
            Some(waiter) => waiter.woken = false,
            None => waiters.list.push_back(Waiter { id, provider, notify: Arc::clone(notify), woken: false }),
        }
        if first {
            waiters.armed = due;
        }
        // It may have been told of a message that it cannot take: then another should.
        self.wake_for_ready(&name);
        due.filter(|_| first)
    }

    /// Notes that a call does not wait any more. What it was told goes to the next one: a message, and the timer.
    pub(crate) fn stop_waiting(&mut self, queue: &str, id: u64) {
        self.waiting -= 1;
        let Some(waiters) = self.queues.get_mut(queue).map(|q| &mut q.waiters) else { return };
        let Some(place) = waiters.list.iter().position(|w| w.id == id) else { return };
        waiters.list.remove(place);
        if place == 0 {
            waiters.armed = None;
        }
        self.wake(queue);
    }
}
