//! How deliveries are settled, extended and given back.

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use redis::{Script, ScriptInvocation};
use swarrot_core::message::names;
use swarrot_core::{DeadLetter, Delivery, Error, Outcome, Reason, Receipt, Result, Settlement};
use tokio::time::Instant;

use super::held::Row;
use super::upkeep::too_often;
use super::{Phase, Shared};
use crate::config::MAX_DELAY;
use crate::convert::encode;
use crate::error::{self, CallError};
use crate::publisher::millis;
use crate::scripts::{self, Call};
use crate::topology::QueueKeys;

/// Deliveries in one script at most.
const CHUNK: usize = 500;
/// Copies under way at once.
const COPIES: usize = 32;
/// The tag of what is not among what is held.
const NO_TAG: u64 = 0;

/// What the server says of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    /// In other hands, or in these once more.
    Lost,
    /// Pending for nobody.
    Gone,
}

/// A copy on its way into a queue, after which the original is settled.
struct Copy {
    queue: String,
    delay: u64,
    meta: Vec<u8>,
    body: bytes::Bytes,
}

impl Shared {
    /// Settles; answers with those that failed.
    pub(super) async fn settle(&self, settlements: &[Settlement]) -> Vec<(Receipt, Error)> {
        let named = |error: Error| error.with_operation("settle").with_target(&*self.queue);
        let mut failures = Vec::new();
        let (mut acks, mut requeues, mut releases, mut copies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        {
            let mut state = self.lock();
            if state.phase == Phase::Closed {
                return settlements.iter().map(|s| (s.receipt, named(error::closed("provider")))).collect();
            }
            let limit = state.limit.unwrap_or(u32::MAX);
            let drops = self.dead_letter == DeadLetter::Drop;
            for Settlement { receipt, outcome } in settlements {
                let Some((tag, row)) = state.held.find(*receipt) else {
                    failures.push((*receipt, error::stale()));
                    continue;
                };
                let held = (*receipt, tag, row.clone());
                let deliveries = row.delivery.delivery_count().unwrap_or(1);
                match outcome {
                    Outcome::Ack => acks.push(held),
                    Outcome::Release => releases.push(held),
                    Outcome::Requeue if deliveries <= limit => requeues.push(held),
                    Outcome::Requeue if drops || !state.parks => acks.push(held),
                    Outcome::Requeue => copies.push((held, self.dead_letter(&row.delivery, &too_often(deliveries)))),
                    Outcome::Reject { .. } if drops => acks.push(held),
                    Outcome::Reject { reason } => copies.push((held, self.dead_letter(&row.delivery, reason))),
                    Outcome::Retry { after, .. } if *after > MAX_DELAY => {
                        failures.push((*receipt, error::delay_too_long(*after, MAX_DELAY)));
                    }
                    Outcome::Retry { after, reason } => {
                        let copy = row.delivery.retry_copy(reason.as_ref());
                        let (queue, delay) = (self.queue.to_string(), millis(*after));
                        let body = copy.body.clone();
                        copies.push((held, Copy { queue, delay, meta: encode(&copy, None), body }));
                    }
                }
            }
            let moved = copies.iter().map(|(held, _)| held);
            for (_, tag, _) in requeues.iter().chain(&releases).chain(moved) {
                // Noted before it is sent: this call may be dropped.
                if let Some(row) = state.held.get_mut(*tag) {
                    row.touched = true;
                }
            }
        }
        let quick = [(&*scripts::REQUEUE, requeues), (&*scripts::RELEASE, releases)];
        let quick = quick.into_iter().filter(|(_, held)| !held.is_empty());
        let quick = join_all(quick.map(|(script, held)| self.all_at_once(script, held)));
        let quick = async { tokio::join!(self.ack(acks), quick) };
        let slow = stream::iter(copies)
            .map(|((receipt, tag, row), copy)| async move {
                let error = self.one_copy(tag, &row, copy).await.err();
                error.map(|error| (receipt, error))
            })
            .buffer_unordered(COPIES);
        let ((acks, quick), slow) = tokio::join!(quick, slow.collect::<Vec<_>>());
        failures.extend(acks);
        failures.extend(quick.into_iter().flatten());
        failures.extend(slow.into_iter().flatten());
        self.changed.notify_one();
        failures.into_iter().map(|(receipt, error)| (receipt, named(error))).collect()
    }

    /// Extends leases; answers with those that failed.
    pub(super) async fn extend(&self, receipts: &[Receipt]) -> Vec<(Receipt, Error)> {
        let named = |error: Error| error.with_operation("extend").with_target(&*self.queue);
        let (mut failures, mut held) = (Vec::new(), Vec::new());
        {
            let state = self.lock();
            if state.phase == Phase::Closed {
                return receipts.iter().map(|receipt| (*receipt, named(error::closed("provider")))).collect();
            }
            for receipt in receipts {
                match state.held.find(*receipt) {
                    Some((tag, row)) => held.push((*receipt, tag, row.clone())),
                    None => failures.push((*receipt, error::stale())),
                }
            }
        }
        failures.extend(self.renew(held).await);
        failures.into_iter().map(|(receipt, error)| (receipt, named(error))).collect()
    }

    /// Renews the leases of what waits to be handed out. A failure is made good by the next one, in time.
    pub(super) async fn renew_buffered(&self) {
        let due = self.lock().held.take_renewals(Instant::now());
        let held = due.into_iter().map(|(tag, row)| (row.delivery.receipt(), tag, row)).collect();
        for (_, error) in self.renew(held).await {
            tracing::debug!(queue = &*self.queue, %error, "a delivery that waits to be handed out was not renewed");
        }
    }

    async fn renew(&self, held: Vec<(Receipt, u64, Row)>) -> Vec<(Receipt, Error)> {
        let mut failures = Vec::new();
        for chunk in chunks(held) {
            let asked = Instant::now();
            let answers = self.fenced(&scripts::EXTEND, &chunk).await;
            let mut state = self.lock();
            for ((receipt, tag, _), answer) in chunk.iter().zip(answers) {
                match answer {
                    Ok((Verdict::Done, _)) => state.held.renewed(*tag, asked),
                    Ok((Verdict::Lost | Verdict::Gone, _)) => {
                        state.held.remove(*tag);
                        failures.push((*receipt, error::stale()));
                    }
                    Err(error) => failures.push((*receipt, error.into())),
                }
            }
        }
        failures
    }

    /// Gives back what waits to be handed out, or all that is held.
    pub(super) async fn give_back(&self, all: bool) -> Result<()> {
        let held = self.lock().held.drain(all);
        let held = held.into_iter().map(|(tag, row)| (row.delivery.receipt(), tag, row)).collect();
        for chunk in chunks(held) {
            for answer in self.fenced(&scripts::RELEASE, &chunk).await {
                // What is in other hands or gone need not be given back.
                answer.map_err(Error::from)?;
            }
        }
        Ok(())
    }

    /// Settles for good: in the cheap way what nobody can have taken, in the other what is left.
    async fn ack(&self, held: Vec<(Receipt, u64, Row)>) -> Vec<(Receipt, Error)> {
        let mut failures = Vec::new();
        for chunk in chunks(held) {
            let mark = self.common_mark(&chunk);
            let rest = match mark {
                Some(mark) => self.ack_own(&mark, chunk, &mut failures).await,
                None => chunk,
            };
            if !rest.is_empty() {
                failures.extend(self.all_at_once(&scripts::ACK, rest).await);
            }
        }
        failures
    }

    /// The queue's mark, if it was there before all of these were read, none has an uncertain past, and none is there twice.
    fn common_mark(&self, chunk: &[(Receipt, u64, Row)]) -> Option<String> {
        let state = self.lock();
        let mark = state.mark.since(chunk.first()?.2.marked)?;
        let alike = chunk.iter().all(|(.., row)| row.marked == state.mark.number() && !row.unanswered && !row.touched);
        let different = chunk.windows(2).all(|two| two[0].1 != two[1].1);
        (alike && different).then(|| mark.to_owned())
    }

    /// Settles for good what nobody has taken since this mark; answers with what has to be settled in another way.
    async fn ack_own(
        &self,
        mark: &str,
        chunk: Vec<(Receipt, u64, Row)>,
        failures: &mut Vec<(Receipt, Error)>,
    ) -> Vec<(Receipt, u64, Row)> {
        let mut call =
            Call::new(&scripts::ACK_OWN, &[&self.keys.stream, &self.keys.queue], 1 + chunk.len(), 32 * chunk.len());
        call.arg(mark);
        for (.., row) in &chunk {
            call.arg(row.id);
        }
        // Not repeated: once it is uncertain what became of it, each is looked at.
        let answer = match self.core.settle.call::<String>(&call).await {
            Ok(answer) => match (answer.as_str(), answer.strip_prefix('=')) {
                (".", _) => Ok((Verdict::Done, false)),
                ("", _) => Ok((Verdict::Gone, false)),
                (_, Some(present)) => {
                    self.lock().mark.set(present);
                    return chunk;
                }
                _ => Err(CallError::NotDone(error::strange_reply())),
            },
            Err(CallError::Unanswered(_)) => {
                let mut state = self.lock();
                for (_, tag, _) in &chunk {
                    if let Some(row) = state.held.get_mut(*tag) {
                        row.unanswered = true;
                    }
                }
                drop(state);
                let mut chunk = chunk;
                for (.., row) in &mut chunk {
                    row.unanswered = true;
                }
                return chunk;
            }
            Err(error) => Err(error),
        };
        for (receipt, tag, row) in chunk {
            failures.extend(self.conclude(tag, &row, answer.clone()).err().map(|error| (receipt, error)));
        }
        Vec::new()
    }

    /// Settles with a script that takes many.
    async fn all_at_once(&self, script: &Script, held: Vec<(Receipt, u64, Row)>) -> Vec<(Receipt, Error)> {
        let mut failures = Vec::new();
        for chunk in chunks(held) {
            let answers = self.fenced(script, &chunk).await;
            for ((receipt, tag, row), answer) in chunk.iter().zip(answers) {
                failures.extend(self.conclude(*tag, row, answer).err().map(|error| (*receipt, error)));
            }
        }
        failures
    }

    /// Puts a copy into a queue and settles the original.
    async fn one_copy(&self, tag: u64, row: &Row, copy: Copy) -> Result<()> {
        let target = QueueKeys::new(&self.core.config.prefix, &copy.queue);
        let mut script = scripts::MOVE.prepare_invoke();
        script.key(&self.keys.stream);
        script.key(&target.all());
        script.arg(&self.me).arg(row.id).arg(row.count);
        script.arg(copy.delay).arg(copy.meta).arg(&copy.body[..]);
        let answer = match self.repeat(&script).await {
            Ok((answer, repeated)) => match answer.as_str() {
                "m" if copy.queue == *self.queue => return Err(error::queue_not_found(&copy.queue)),
                "m" => return Err(error::no_dead_letter_queue(&copy.queue)),
                "f" => return Err(error::full(&copy.queue)),
                _ => parse(&answer, 1).map(|verdicts| (verdicts[0], repeated)),
            },
            Err(error) => Err(error),
        };
        self.conclude(tag, row, answer)
    }

    /// What an answer means for a settlement, and for what is held.
    fn conclude(&self, tag: u64, row: &Row, answer: Result<(Verdict, bool), CallError>) -> Result<()> {
        let held = &mut self.lock().held;
        match answer {
            Ok((verdict, repeated)) => {
                held.remove(tag);
                // What was sent before and never answered was done, then: nobody else would have ended the delivery so soon.
                let done = verdict == Verdict::Done || (verdict == Verdict::Gone && (repeated || row.unanswered));
                if done { Ok(()) } else { Err(error::stale()) }
            }
            Err(CallError::NotDone(error)) => Err(error),
            Err(CallError::Unanswered(error)) => {
                if let Some(row) = held.get_mut(tag) {
                    row.unanswered = true;
                }
                Err(error)
            }
        }
    }

    /// The copy of a delivery for its queue's dead-letter queue.
    fn dead_letter(&self, delivery: &Delivery, reason: &Reason) -> Copy {
        let copy = delivery.dead_letter_copy(reason);
        let queue = names::dead_letter_queue(&self.queue);
        Copy { queue, delay: 0, meta: encode(&copy, None), body: copy.body.clone() }
    }

    /// Gives up on an entry that is pending for this provider and not among what is held.
    pub(super) async fn give_up(&self, row: &Row, reason: &Reason) -> Result<()> {
        let drops = !self.lock().parks || self.dead_letter == DeadLetter::Drop;
        if drops {
            let held = [(row.delivery.receipt(), NO_TAG, row.clone())];
            let answers = self.fenced(&scripts::ACK, &held).await;
            return answers.into_iter().try_for_each(|answer| self.conclude(NO_TAG, row, answer));
        }
        self.one_copy(NO_TAG, row, self.dead_letter(&row.delivery, reason)).await
    }

    /// Runs a script on deliveries, and answers for each with a verdict and whether the script was repeated.
    async fn fenced(&self, script: &Script, held: &[(Receipt, u64, Row)]) -> Vec<Result<(Verdict, bool), CallError>> {
        let mut invocation = script.prepare_invoke();
        invocation.key(&self.keys.stream).key(&self.keys.wake).arg(&self.me);
        for (_, _, row) in held {
            invocation.arg(row.id).arg(row.count);
        }
        let answer = self.repeat(&invocation).await;
        let verdicts = answer.and_then(|(answer, repeated)| Ok((parse(&answer, held.len())?, repeated)));
        match verdicts {
            Ok((verdicts, repeated)) => verdicts.into_iter().map(|verdict| Ok((verdict, repeated))).collect(),
            Err(error) => held.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Runs a script that may be repeated; once more if the connection broke, since the next one mostly works. Answers also
    /// whether it was repeated.
    async fn repeat(&self, script: &ScriptInvocation<'_>) -> Result<(String, bool), CallError> {
        match self.core.settle.script(script).await {
            Err(CallError::Unanswered(_)) => {
                let again = self.core.settle.script(script).await;
                // Also if this one was refused or never sent: the first one was sent.
                again.map(|answer| (answer, true)).map_err(|error| CallError::Unanswered(error.into()))
            }
            answer => answer.map(|answer| (answer, false)),
        }
    }
}

/// In the order of the entries, as the scripts want them, and not too many at once.
fn chunks(mut held: Vec<(Receipt, u64, Row)>) -> Vec<Vec<(Receipt, u64, Row)>> {
    held.sort_unstable_by_key(|(_, _, row)| row.id);
    // A receipt that is in one call twice is settled once, and stale the second time.
    let mut rest = held.into_iter();
    std::iter::from_fn(|| Some(rest.by_ref().take(CHUNK).collect::<Vec<_>>()).filter(|chunk| !chunk.is_empty()))
        .collect()
}

fn parse(answer: &str, count: usize) -> Result<Vec<Verdict>, CallError> {
    let verdicts: Option<Vec<Verdict>> = answer
        .chars()
        .map(|c| match c {
            '.' => Some(Verdict::Done),
            'l' => Some(Verdict::Lost),
            'g' => Some(Verdict::Gone),
            _ => None,
        })
        .collect();
    verdicts.filter(|verdicts| verdicts.len() == count).ok_or_else(|| CallError::NotDone(error::strange_reply()))
}
