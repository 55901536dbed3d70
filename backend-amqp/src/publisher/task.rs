//! The task that owns a publisher's channel. It takes messages from callers, sends them, sends them again after a
//! refusal or a reconnect, and gives each its verdict by its deadline.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use lapin::options::ConfirmSelectOptions;
use rustc_hash::{FxHashMap, FxHashSet};
use swarrot_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::delays::Delays;
use super::entry::{Entry, Lost, Stage};
use super::window::{Verdict, Window};
use crate::connection::{Backoff, CALL_TIMEOUT, CLOSE_TIMEOUT, Channel, LIVED, Link};
use crate::convert::to_properties;
use crate::error::{from_lapin, size_limit, within};
use crate::topology::{Desk, Remembered, inspect_exchange};

/// Messages without a verdict on one channel. 256 keep a broker busy; more only make more duplicates after a cut.
const WINDOW: usize = 1024;
/// How long to wait before a refused message is sent again, at first and at most.
const REFUSED: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long a delay queue may take to confirm. A connection that is dead has been found out by then.
const UNHEARD: Duration = Duration::from_secs(15);
/// Messages that were given up on while others were confirmed, and still take up room in the window.
const ABANDONED: usize = WINDOW / 4;

pub(super) enum Job {
    Publish(Box<Entry>),
    Close(oneshot::Sender<Result<()>>),
}

/// What the task works with.
pub(super) struct Wiring {
    pub(super) publish: Arc<Link>,
    /// For declarations, which must work while publishing is blocked.
    pub(super) receive: Arc<Link>,
    pub(super) remembered: Arc<Remembered>,
    pub(super) exchange: String,
}

pub(super) struct Task {
    wiring: Arc<Wiring>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Who waits for the end.
    closing: Option<oneshot::Sender<Result<()>>>,
    blocked: watch::Receiver<bool>,
    /// All that has no verdict, by its id.
    entries: FxHashMap<u64, Box<Entry>>,
    next_id: u64,
    /// To be sent, in this order.
    queue: VecDeque<u64>,
    /// Refused, by the time at which they are sent again.
    refused: BTreeSet<(Instant, u64)>,
    /// When to give up on each entry.
    deadlines: Deadlines,
    window: Option<Window>,
    opening: Option<Work<Result<Channel>>>,
    /// When to try to open a channel again.
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// When the last channel was opened.
    opened_at: Option<Instant>,
    /// Why there is no channel.
    failure: Option<Error>,
    /// The exchange may be gone: look before anything is sent.
    doubt: bool,
    /// In flight when the broker closed the channel over one of them; sent one by one until that one is found.
    suspects: FxHashSet<u64>,
    /// The size above which this server refuses messages, once it was learnt.
    size_limit: Option<usize>,
    delays: Delays,
    /// Confirmed, by the time at which that may be told.
    ripening: BTreeSet<(Instant, u64)>,
    last_verdict: Option<Instant>,
    abandoned: usize,
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Task {
    pub(super) fn new(wiring: Arc<Wiring>, jobs: mpsc::UnboundedReceiver<Job>) -> Self {
        let blocked = wiring.publish.blocked();
        let delays = Delays::new(Arc::clone(&wiring));
        Self {
            wiring,
            jobs,
            closing: None,
            blocked,
            entries: FxHashMap::default(),
            next_id: 0,
            queue: VecDeque::new(),
            refused: BTreeSet::new(),
            deadlines: Deadlines::default(),
            window: None,
            opening: None,
            retry_at: None,
            backoff: Backoff::default(),
            opened_at: None,
            failure: None,
            doubt: false,
            suspects: FxHashSet::default(),
            size_limit: None,
            delays,
            ripening: BTreeSet::new(),
            last_verdict: None,
            abandoned: 0,
        }
    }

    /// Runs until all callers' handles are gone and every message has its verdict, or until it is closed.
    pub(super) async fn run(mut self) {
        let mut verdicts = Vec::new();
        let mut open = true;
        while open || !self.entries.is_empty() {
            if let Some(answer) = self.closing.take() {
                let _ = answer.send(self.close().await);
                return;
            }
            self.pump();
            self.tidy();
            let wake = self.wake_at();
            let settled = OptionFuture::from(self.window.as_mut().map(|window| window.settled(&mut verdicts)));
            let opening = OptionFuture::from(self.opening.as_mut());
            tokio::select! {
                biased;
                Some(result) = settled => {
                    self.judge(&mut verdicts);
                    if let Err(error) = result {
                        self.end_epoch(from_lapin(error));
                    }
                }
                job = self.jobs.recv(), if open => match job {
                    Some(Job::Publish(entry)) => self.take(entry),
                    Some(Job::Close(answer)) => self.closing = Some(answer),
                    None => open = false,
                },
                Some(result) = opening => self.opened(result),
                (ids, result) = self.delays.done() => self.declared(ids, result),
                Ok(()) = self.blocked.changed() => {}
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn take(&mut self, entry: Box<Entry>) {
        let mut next = Some(entry);
        while let Some(entry) = next {
            self.next_id += 1;
            let id = self.next_id;
            self.deadlines.insert(entry.deadline, id);
            self.entries.insert(id, entry);
            self.queue.push_back(id);
            // A caller hands over batches: take what there is before going on to send.
            next = match self.jobs.try_recv() {
                Ok(Job::Publish(entry)) => Some(entry),
                Ok(Job::Close(answer)) => {
                    self.closing = Some(answer);
                    None
                }
                Err(_) => None,
            };
        }
    }

    /// Does what is due: gives up, sends, or opens a channel to send on.
    fn pump(&mut self) {
        let now = Instant::now();
        self.expire(now);
        while let Some(&(when, id)) = self.refused.first() {
            if when > now {
                break;
            }
            self.refused.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.stage = Stage::Queued;
                self.queue.push_back(id);
            }
        }
        while let Some(&(when, id)) = self.ripening.first() {
            if when > now {
                break;
            }
            self.ripening.pop_first();
            if let Some(entry) = self.entries.remove(&id) {
                entry.answer.give(Ok(()));
            }
        }
        if self.is_blocked() {
            return;
        }
        if self.window.is_some() {
            self.send_queued(now);
        } else if !self.entries.is_empty() && self.opening.is_none() && self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = None;
            self.opening = Some(Box::pin(open(Arc::clone(&self.wiring), self.doubt)));
        }
    }

    fn send_queued(&mut self, now: Instant) {
        while self.window.as_ref().is_some_and(|window| window.len() < self.limit()) {
            let Some(id) = self.next_to_send() else { return };
            let (Some(window), Some(entry)) = (&mut self.window, self.entries.get_mut(&id)) else { return };
            let exchange = match &mut entry.bucket {
                None => self.wiring.exchange.clone(),
                Some(bucket) => {
                    if let Some(replacement) = self.delays.replacement(bucket) {
                        bucket.clone_from(replacement);
                    }
                    let target = entry.routing_key.as_str();
                    if !self.delays.are_there(bucket, target) {
                        if !self.delays.begin(bucket, target, id) {
                            self.queue.push_front(id);
                            return;
                        }
                        entry.stage = Stage::Declaring;
                        continue;
                    }
                    bucket.name()
                }
            };
            let translated = match entry.properties.take() {
                Some(properties) => Ok(properties),
                None => to_properties(&entry.message, self.wiring.publish.frame_max()),
            };
            match translated {
                Ok(properties) => {
                    entry.stage = Stage::Flying;
                    entry.sent_at = Some(now);
                    window.send(id, properties, entry, exchange);
                }
                // On a connection that has smaller frames.
                Err(error) => self.refuse(id, &error),
            }
        }
    }

    /// How many may be in flight at once.
    fn limit(&self) -> usize {
        if self.suspects.is_empty() { WINDOW } else { 1 }
    }

    /// The next in the queue. Those that the server is known not to take fail here.
    fn next_to_send(&mut self) -> Option<u64> {
        loop {
            let id = self.queue.pop_front()?;
            let Some(entry) = self.entries.get(&id) else { continue };
            let size = entry.message.body.len();
            let Some(limit) = self.size_limit.filter(|limit| size > *limit) else { return Some(id) };
            let message = format!("the body has {size} bytes, the server takes {limit}");
            self.fail(id, Error::new(ErrorKind::TooLarge, message));
        }
    }

    fn judge(&mut self, verdicts: &mut Vec<(u64, Verdict)>) {
        let now = Instant::now();
        self.last_verdict = Some(now);
        for (id, verdict) in verdicts.drain(..) {
            self.suspects.remove(&id);
            if verdict == Verdict::Refused {
                let Some(entry) = self.entries.get_mut(&id) else {
                    self.abandoned = self.abandoned.saturating_sub(1);
                    continue;
                };
                entry.stage = Stage::Refused;
                let ceiling = REFUSED.0.saturating_mul(1 << entry.refusals.min(8)).min(REFUSED.1);
                entry.refusals += 1;
                let pause = ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
                // Sent so late that the answer may not come in time, it would end as one of which nothing is known.
                if now + 2 * pause < entry.deadline {
                    self.refused.insert((now + pause, id));
                }
                continue;
            }
            let Some(entry) = self.entries.get_mut(&id) else {
                // Given up on at its deadline.
                self.abandoned = self.abandoned.saturating_sub(1);
                continue;
            };
            if let Some(bucket) = entry.bucket.as_ref().filter(|_| verdict == Verdict::Unroutable && !entry.missed) {
                // It was deleted meanwhile. It is made again for this one and all behind it.
                self.delays.forget_one(bucket);
                entry.missed = true;
                entry.stage = Stage::Queued;
                self.queue.push_back(id);
                continue;
            }
            // Even when the delay is over: a busy server passes a message on later, and forgets it with its queue until then.
            let ripe = entry.bucket.as_ref().and_then(|bucket| self.delays.ripe_at(bucket, now));
            if let Some(ripe) = ripe.filter(|_| verdict == Verdict::Confirmed) {
                entry.stage = Stage::Ripening;
                self.ripening.insert((ripe, id));
                continue;
            }
            let Some(entry) = self.entries.remove(&id) else { continue };
            let key = entry.routing_key.as_str();
            entry.answer.give(match verdict {
                Verdict::Unroutable => Err(self.unroutable(key)),
                _ => Ok(()),
            });
        }
    }

    fn unroutable(&self, key: &str) -> Error {
        let (target, message) = match self.wiring.exchange.as_str() {
            "" => (key, "no queue has this name; declare it first".to_owned()),
            exchange => (exchange, format!("no queue is bound for the routing key {key:?}")),
        };
        Error::new(ErrorKind::Unroutable, message).with_operation("publish").with_target(target)
    }

    /// The channel is of no use any more: what was sent on it is sent again on the next.
    fn end_epoch(&mut self, error: Error) {
        let error = error.with_operation("publish");
        tracing::info!(exchange = self.wiring.exchange, %error, "the publisher's channel ended");
        self.window = None;
        self.delays.forget();
        self.ripening.clear();
        self.abandoned = 0;
        let is_sent = |entry: &Entry| matches!(entry.stage, Stage::Flying | Stage::Ripening);
        let mut flying: Vec<_> = self.entries.iter().filter(|(_, entry)| is_sent(entry)).map(|(id, _)| *id).collect();
        flying.sort_unstable();
        // The broker closed the channel over a message: over which, it does not say.
        let over_a_message = !error.is_temporary();
        if !over_a_message {
            // To open a channel is no success yet.
            if self.opened_at.is_some_and(|at| at.elapsed() > LIVED) {
                self.backoff.reset();
            }
            self.retry_at = Some(Instant::now() + self.backoff.next());
        }
        let exceeds = |limit: &usize| {
            flying.iter().any(|id| self.entries.get(id).is_some_and(|entry| entry.message.body.len() > *limit))
        };
        if let Some(limit) = size_limit(&error).filter(exceeds) {
            self.size_limit = Some(limit);
        } else if over_a_message {
            self.doubt = error.kind() == ErrorKind::NotFound;
            if let [only] = flying[..]
                && (self.suspects.remove(&only) || !self.doubt)
            {
                self.refuse(only, &error);
                flying.clear();
            }
            self.suspects.extend(&flying);
        }
        for id in flying.into_iter().rev() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.stage = Stage::Queued;
                // What the broker closed the channel over was not taken; others may have been.
                entry.lost = entry.lost.max(if over_a_message { Lost::WithChannel } else { Lost::WithConnection });
                self.queue.push_front(id);
            }
        }
        self.failure = Some(error);
    }

    fn opened(&mut self, result: Result<Channel>) {
        self.opening = None;
        match result {
            Ok(channel) => {
                self.opened_at = Some(Instant::now());
                self.failure = None;
                self.doubt = false;
                self.window = Some(Window::new(channel));
            }
            Err(error) => {
                let error = error.with_operation("publish");
                tracing::info!(exchange = self.wiring.exchange, %error, "the publisher cannot open its channel");
                if !error.is_temporary() {
                    let all: Vec<_> = self.entries.keys().copied().collect();
                    for id in all {
                        self.refuse(id, &error);
                    }
                    self.queue.clear();
                    self.refused.clear();
                }
                self.retry_at = Some(Instant::now() + self.backoff.next());
                self.failure = Some(error);
            }
        }
    }

    fn declared(&mut self, ids: Vec<u64>, result: Result<()>) {
        for id in ids.into_iter().rev() {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            match &result {
                Ok(()) => {
                    entry.stage = Stage::Queued;
                    self.queue.push_front(id);
                }
                Err(error) if error.is_temporary() => {
                    entry.stage = Stage::Refused;
                    self.refused.insert((Instant::now() + REFUSED.1, id));
                }
                Err(error) => self.refuse(id, error),
            }
        }
        if let Err(error) = result {
            self.failure = Some(error);
        }
    }

    fn fail(&mut self, id: u64, error: Error) {
        self.suspects.remove(&id);
        if let Some(entry) = self.entries.remove(&id) {
            entry.answer.give(Err(error.with_operation("publish")));
        }
    }

    /// Fails it over what will not pass. Nothing is known of one that may have been taken before.
    fn refuse(&mut self, id: u64, error: &Error) {
        let lost = self.entries.get(&id).is_some_and(|entry| entry.lost == Lost::WithConnection);
        self.fail(id, if lost { broken().with_source(error.clone()) } else { error.clone() });
    }

    /// Gives up on what is overdue.
    fn expire(&mut self, now: Instant) {
        let mut silent = false;
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(entry) = self.entries.get(&id) else { continue };
            let blocked = self.is_blocked();
            let unheard = match entry.stage {
                Stage::Flying => entry.sent_at.is_some_and(|at| now.duration_since(at) >= UNHEARD),
                Stage::Refused => entry.refusals > 0,
                _ => false,
            };
            if let Some(bucket) = entry.bucket.as_ref().filter(|_| unheard && !blocked) {
                self.delays.replace(bucket);
            }
            if entry.stage == Stage::Flying {
                self.abandoned += 1;
                // If others were confirmed meanwhile it is this one's queue that is in trouble, not the channel.
                let deaf = self.last_verdict < entry.sent_at || self.abandoned > ABANDONED;
                silent |= deaf && !blocked;
            }
            let error = self.overdue(entry, blocked);
            self.fail(id, error);
        }
        if silent {
            // Confirmations take milliseconds; this channel is deaf.
            self.end_epoch(Error::new(ErrorKind::Timeout, "the server does not confirm"));
        }
    }

    /// Forgets what has its verdict where that was not done at once.
    fn tidy(&mut self) {
        let entries = &self.entries;
        self.deadlines.tidy(entries.len(), |id| entries.contains_key(&id));
        // While nothing is sent, what was given up on leaves its place in the queue behind.
        if self.queue.len() > 2 * entries.len() + WINDOW {
            self.queue.retain(|id| entries.contains_key(id));
        }
    }

    fn overdue(&self, entry: &Entry, blocked: bool) -> Error {
        const BLOCKED: &str = "the server takes no messages; it is short of memory or disk";
        let error = match entry.stage {
            Stage::Flying if blocked => Error::new(ErrorKind::Unknown, format!("sent, but not confirmed: {BLOCKED}")),
            Stage::Flying => Error::new(ErrorKind::Unknown, "sent, but not confirmed in time"),
            Stage::Ripening => Error::new(
                ErrorKind::Unknown,
                "sent, but the delay queue is too new for its confirmation to be relied on in time",
            ),
            _ if entry.lost != Lost::Never => broken(),
            Stage::Refused if entry.refusals > 0 => Error::new(
                ErrorKind::Rejected,
                "the broker refused it until the time was up; the queue is full or has no leader",
            ),
            _ if blocked => Error::new(ErrorKind::Blocked, BLOCKED),
            _ => match &self.failure {
                Some(failure) => {
                    Error::new(ErrorKind::Connection, "not connected in time").with_source(failure.clone())
                }
                None => Error::new(ErrorKind::Timeout, "too many messages before it; it was not sent in time"),
            },
        };
        error.with_target(match self.wiring.exchange.as_str() {
            "" => entry.routing_key.as_str(),
            exchange => exchange,
        })
    }

    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.deadlines.first();
        let refused = self.refused.first().map(|(when, _)| *when);
        let retry = self.retry_at.filter(|_| !self.entries.is_empty() && !self.is_blocked());
        let ripe = self.ripening.first().map(|(when, _)| *when);
        [deadline, refused, retry, ripe].into_iter().flatten().min()
    }

    fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    async fn close(&mut self) -> Result<()> {
        let Some(window) = self.window.take() else { return Ok(()) };
        if !window.channel().status().connected() || self.is_blocked() {
            return Ok(());
        }
        within(CLOSE_TIMEOUT, "close", window.channel().close(200, "OK".into())).await
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Unknown, "sent, but the connection broke before it was confirmed")
}

/// Opens a channel that confirms.
async fn open(wiring: Arc<Wiring>, doubt: bool) -> Result<Channel> {
    let channel = wiring.publish.channel().await?;
    if let Err(error) = wiring.remembered.restore(&wiring.receive, doubt).await {
        // What is missing shows when something is published to it.
        tracing::warn!(%error, "the topology could not be declared again");
    }
    if doubt {
        inspect_exchange(&mut Desk::new(&wiring.receive), &wiring.exchange).await?;
    }
    within(CALL_TIMEOUT, "confirm", channel.lapin.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

#[cfg(test)]
mod tests;
