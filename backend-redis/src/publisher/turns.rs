//! Who sends: two at a time, and what comes meanwhile goes together.
//!
//! A script for each message would cost the server several times what the message does. So a call that comes while two are
//! under way leaves its messages behind; they go with those of others who wait. A lone caller sends by itself and pays nothing
//! for this. Two, so that the server works on the one while the other is on its way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use swarrot_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::batch::{MAX_MESSAGES, Prepared};
use crate::error;

/// How many send at once.
const TURNS: usize = 2;

/// Whose turn it is, and who waits.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Turns that are taken, and the messages sent by them.
    taken: usize,
    sending: usize,
    waiting: VecDeque<Group>,
    last_id: u64,
}

/// The messages of one call.
#[derive(Debug)]
struct Group {
    id: u64,
    messages: Vec<Prepared>,
    deadline: Instant,
    answer: oneshot::Sender<Answers>,
}

/// What became of each message.
type Answers = Vec<Result<()>>;

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call back that nobody has begun to send; false if somebody has.
    fn withdraw(&self, id: u64) -> bool {
        let mut state = self.lock();
        let place = state.waiting.iter().position(|group| group.id == id);
        place.is_some_and(|place| state.waiting.remove(place).is_some())
    }
}

impl State {
    /// Those who are next. While others are under way, no more than half of all goes into one script, so that neither has to
    /// wait for the other. Calls that were dropped are left out.
    fn next_groups(&mut self) -> Vec<Group> {
        self.waiting.retain(|group| !group.answer.is_closed());
        let waiting: usize = self.waiting.iter().map(|group| group.messages.len()).sum();
        let most = MAX_MESSAGES.min((waiting + self.sending).div_ceil(2).max(16));
        let (mut groups, mut count) = (Vec::new(), 0);
        while let Some(group) = self.waiting.pop_front() {
            if count > 0 && count + group.messages.len() > most {
                self.waiting.push_front(group);
                break;
            }
            count += group.messages.len();
            groups.push(group);
        }
        groups
    }
}

impl Shared {
    /// Sends the messages of a call, alone or with those of others, and notes what became of each.
    pub(super) async fn send_in_turn(
        self: &Arc<Self>,
        messages: Vec<Prepared>,
        results: &mut [Result<()>],
        deadline: Instant,
    ) {
        let (id, answered) = match self.take_turn_or_wait(messages, deadline) {
            Ok((turn, messages)) => {
                self.send(messages.iter().collect(), results, deadline).await;
                drop(turn);
                return;
            }
            Err(waiting) => waiting,
        };
        let fail = |results: &mut [Result<()>], error: &Error| {
            waiting(results).for_each(|place| *place = Err(error.clone()));
        };
        match timeout_at(deadline, answered).await {
            Ok(Ok(answers)) => waiting(results).zip(answers).for_each(|(place, answer)| *place = answer),
            Ok(Err(_)) => {
                fail(results, &Error::new(ErrorKind::Unknown, "the runtime ended before the server had answered"));
            }
            Err(_) if self.turns.withdraw(id) => fail(results, &error::no_answer()),
            Err(_) => fail(results, &error::unknown(self.options.timeout)),
        }
    }

    /// Takes a turn, if one is free; else leaves the messages behind, and answers with the call's number and what to wait for.
    fn take_turn_or_wait(
        self: &Arc<Self>,
        messages: Vec<Prepared>,
        deadline: Instant,
    ) -> std::result::Result<(Turn, Vec<Prepared>), (u64, oneshot::Receiver<Answers>)> {
        let mut state = self.turns.lock();
        if state.taken < TURNS {
            return Ok((Turn::take(self, &mut state, messages.len()), messages));
        }
        let (answer, answered) = oneshot::channel();
        state.last_id += 1;
        let id = state.last_id;
        state.waiting.push_back(Group { id, messages, deadline, answer });
        Err((id, answered))
    }

    /// What the server has refused as a whole was not done, and may have been refused because of one of the calls. So each of
    /// them goes again, alone.
    async fn send_refused_alone(
        &self,
        messages: &[Prepared],
        calls: impl Iterator<Item = Range<usize>>,
        results: &mut [Result<()>],
        deadline: Instant,
    ) {
        let is_refused = |message: &&Prepared| {
            results[message.position].as_ref().is_err_and(|error| error.kind() == ErrorKind::AccessRefused)
        };
        if messages.iter().find(is_refused).is_none() {
            return;
        }
        let refused = calls.map(|range| messages[range].iter().filter(is_refused).collect::<Vec<_>>());
        let again = refused.filter(|refused| !refused.is_empty()).map(|refused| async move {
            let mut results: Vec<Result<()>> = messages.iter().map(|_| Ok(())).collect();
            let positions: Vec<_> = refused.iter().map(|message| message.position).collect();
            self.send(refused, &mut results, deadline).await;
            positions
                .into_iter()
                .map(|position| (position, std::mem::replace(&mut results[position], Ok(()))))
                .collect::<Vec<_>>()
        });
        let again = join_all(again).await;
        again.into_iter().flatten().for_each(|(position, result)| results[position] = result);
    }

    /// Sends for those who wait, until nobody does.
    async fn send_for_others(self: Arc<Self>, mut turn: Turn) {
        while let Some(groups) = turn.next() {
            let (mut messages, mut calls, mut deadline) =
                (Vec::new(), Vec::with_capacity(groups.len()), Instant::now());
            for group in groups {
                calls.push((messages.len()..messages.len() + group.messages.len(), group.answer));
                // Each call keeps its own deadline; a late one must not fail because of an early one.
                deadline = deadline.max(group.deadline);
                for mut message in group.messages {
                    message.position = messages.len();
                    messages.push(message);
                }
            }
            let mut results: Vec<Result<()>> = messages.iter().map(|_| Ok(())).collect();
            self.send(messages.iter().collect(), &mut results, deadline).await;
            if calls.len() > 1 {
                let ranges = calls.iter().map(|(range, _)| range.clone());
                self.send_refused_alone(&messages, ranges, &mut results, deadline).await;
            }
            let mut results = results.into_iter();
            for (range, answer) in calls {
                // Nobody waits for the answer of a call that was dropped.
                let _ = answer.send(results.by_ref().take(range.len()).collect());
            }
        }
    }
}

/// The places of those that were sent, in their order: of one that was not, because of the message itself, the result is there
/// already.
fn waiting(results: &mut [Result<()>]) -> impl Iterator<Item = &mut Result<()>> {
    results.iter_mut().filter(|result| result.is_ok())
}

/// A turn, until it is dropped: then it goes to those who wait.
struct Turn {
    shared: Arc<Shared>,
    /// Messages that are sent in it.
    sending: usize,
    /// It belongs to a task that has not begun.
    passed_on: bool,
}

impl Turn {
    fn take(shared: &Arc<Shared>, state: &mut State, sending: usize) -> Self {
        state.taken += 1;
        state.sending += sending;
        Self { shared: Arc::clone(shared), sending, passed_on: false }
    }

    /// Those to be sent next; `None` if nobody waits. Somebody who comes later finds the turn free: both happens under one lock.
    fn next(&mut self) -> Option<Vec<Group>> {
        self.passed_on = false;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.turns.lock();
        state.sending -= std::mem::take(&mut self.sending);
        let groups = state.next_groups();
        self.sending = groups.iter().map(|group| group.messages.len()).sum();
        state.sending += self.sending;
        (!groups.is_empty()).then_some(groups)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.turns.lock();
        state.sending -= self.sending;
        state.taken -= 1;
        if state.waiting.is_empty() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) if !self.passed_on => {
                let mut turn = Self::take(&self.shared, &mut state, 0);
                turn.passed_on = true;
                drop(state);
                runtime.spawn(Arc::clone(&self.shared).send_for_others(turn));
            }
            // Without a runtime nobody can be sent for, and a task that was dropped before it began says that it ends.
            _ if state.taken == 0 => {
                let waiting = std::mem::take(&mut state.waiting);
                drop(state);
                for Group { messages, answer, .. } in waiting {
                    let error = Error::new(ErrorKind::Connection, "the runtime ended before this was sent");
                    let _ = answer.send(messages.iter().map(|_| Err(error.clone())).collect());
                }
            }
            _ => {}
        }
    }
}
