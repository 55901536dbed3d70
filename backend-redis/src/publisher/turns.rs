//! Who sends: one at a time, and what comes meanwhile goes together.
//!
//! A script for each message would cost the server several times what the message does. So a call that comes while another is
//! under way leaves its messages behind; they go with those of all others who wait, in their order. A lone caller sends by itself
//! and pays nothing for this.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarrot_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use super::batch::{MAX_MESSAGES, Prepared};

/// Whose turn it is, and who waits.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Somebody sends.
    taken: bool,
    waiting: VecDeque<Group>,
}

/// The messages of one call.
#[derive(Debug)]
struct Group {
    messages: Vec<Prepared>,
    deadline: Instant,
    answer: oneshot::Sender<Vec<(usize, Result<()>)>>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let answered = {
            let mut state = self.turns.lock();
            if state.taken {
                let (answer, answered) = oneshot::channel();
                state.waiting.push_back(Group { messages, deadline, answer });
                Err(answered)
            } else {
                state.taken = true;
                Ok((Turn(self), messages))
            }
        };
        match answered {
            Ok((_turn, messages)) => self.send(messages, results, deadline).await,
            Err(answered) => match answered.await {
                Ok(answers) => answers.into_iter().for_each(|(position, result)| results[position] = result),
                Err(_) => {
                    for result in results.iter_mut().filter(|result| result.is_ok()) {
                        let what = "the runtime ended before the server had answered";
                        *result = Err(Error::new(ErrorKind::Unknown, what));
                    }
                }
            },
        }
    }

    /// Sends for those who wait, until nobody does.
    async fn send_for_others(self: Arc<Self>) {
        let turn = Turn(&self);
        loop {
            let groups = self.next_groups();
            let Some(deadline) = groups.iter().map(|group| group.deadline).min() else { break };
            let mut messages = Vec::new();
            let mut parts = Vec::with_capacity(groups.len());
            for group in groups {
                let positions: Vec<_> = group.messages.iter().map(|message| message.position).collect();
                for mut message in group.messages {
                    message.position = messages.len();
                    messages.push(message);
                }
                parts.push((positions, group.answer));
            }
            let mut results: Vec<Result<()>> = messages.iter().map(|_| Ok(())).collect();
            self.send(messages, &mut results, deadline).await;
            let mut results = results.into_iter();
            for (positions, answer) in parts {
                // Nobody waits for the answer of a call that was dropped.
                let _ = answer.send(positions.into_iter().zip(results.by_ref()).collect());
            }
        }
        // Between the last look and this somebody may have come, for whom it begins again.
        drop(turn);
    }

    /// Those who are next, as many as go into one script. Calls that were dropped are left out.
    fn next_groups(&self) -> Vec<Group> {
        let mut state = self.turns.lock();
        let (mut groups, mut count) = (Vec::new(), 0);
        while let Some(group) = state.waiting.pop_front() {
            if group.answer.is_closed() {
                continue;
            }
            if count > 0 && count + group.messages.len() > MAX_MESSAGES {
                state.waiting.push_front(group);
                break;
            }
            count += group.messages.len();
            groups.push(group);
        }
        groups
    }
}

/// The turn, until it is dropped: then it goes to those who wait.
struct Turn<'a>(&'a Arc<Shared>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.turns.lock();
        match Handle::try_current() {
            Ok(runtime) if !state.waiting.is_empty() => {
                drop(state);
                runtime.spawn(Arc::clone(self.0).send_for_others());
            }
            _ => {
                // Without a runtime nobody can be sent for.
                state.waiting.clear();
                state.taken = false;
            }
        }
    }
}
