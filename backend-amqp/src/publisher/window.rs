//! What was sent on one channel and not confirmed yet, and the judgement of what the broker answers.
//!
//! lapin hangs a returned message on whichever confirmation is resolved next, which need not be its own. So a
//! confirmation alone says nothing about its message: the returned messages that hang on *any* confirmation say, by their
//! [identity](super::identity), which publishes had no queue to go to.
//!
//! Why a verdict is right once it is given:
//! - The broker sends `basic.return` before it confirms that same message, and it confirms unroutable messages in the
//!   order in which they were published.
//! - lapin puts returned messages into a queue and takes one from it for each message that is confirmed. By the time
//!   that an unroutable message is confirmed, as many have been confirmed as were returned up to it, itself included; so
//!   its return hangs on its own confirmation or on an earlier one.
//! - One frame may confirm many messages, and lapin resolves them one after the other, in any order, while another
//!   thread already sees the first of them. But it does so under one lock. Whoever takes that lock after it has seen a
//!   confirmation therefore finds all others of the frame resolved too, and in them every return that matters.
//!
//! Hence: gather what is resolved; pass the lock; gather again; then judge what had been gathered first.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use rustc_hash::FxHashSet;
use tokio_util::sync::ReusableBoxFuture;

use super::entry::Entry;
use super::identity::{Identities, Identity};
use crate::connection::Channel;

/// A message that was sent.
#[derive(Clone, Copy)]
struct Flight {
    id: u64,
    identity: Identity,
}

/// The publish of one message, in a box that is used again.
type Sent = ReusableBoxFuture<'static, (Flight, lapin::Result<Confirmation>)>;

/// Waits for the confirmation, and gives the box back with it.
struct Sending(Option<Sent>);

impl Future for Sending {
    type Output = (Sent, Flight, lapin::Result<Confirmation>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut sent) = self.0.take() else { return Poll::Pending };
        let polled = sent.poll(cx);
        match polled {
            Poll::Ready((flight, confirmation)) => Poll::Ready((sent, flight, confirmation)),
            Poll::Pending => {
                self.0 = Some(sent);
                Poll::Pending
            }
        }
    }
}

/// What a broker says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Confirmed,
    Unroutable,
    Refused,
}

/// One channel in confirm mode, with what was sent on it.
pub(super) struct Window {
    channel: Arc<Channel>,
    sent: FuturesUnordered<Sending>,
    /// Boxes for more.
    spare: Vec<Sent>,
    resolved: VecDeque<(Flight, bool)>,
    returned: FxHashSet<u64>,
    identities: Identities,
    /// Why the channel ended.
    broken: Option<lapin::Error>,
    flag: Arc<Flag>,
}

impl Window {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel: Arc::new(channel),
            sent: FuturesUnordered::new(),
            spare: Vec::new(),
            resolved: VecDeque::new(),
            returned: FxHashSet::default(),
            identities: Identities::default(),
            broken: None,
            flag: Arc::default(),
        }
    }

    pub(super) fn channel(&self) -> &lapin::Channel {
        &self.channel.lapin
    }

    /// Messages without a verdict, abandoned ones included.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Sends a message. Its frames are queued at the next [`settled`](Self::settled), in the order of these calls.
    pub(super) fn send(&mut self, id: u64, properties: BasicProperties, entry: &Entry, exchange: String) {
        let channel = Arc::clone(&self.channel);
        let (properties, identity) = self.identities.identify(id, properties);
        let (flight, key, body) = (Flight { id, identity }, entry.routing_key.clone(), entry.message.body.clone());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish = async move {
            let written = channel.lapin.basic_publish(exchange.into(), key, options, &body, properties).await;
            let confirmation = match written {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (flight, confirmation)
        };
        let sent = match self.spare.pop() {
            Some(mut sent) => {
                sent.set(publish);
                sent
            }
            None => ReusableBoxFuture::new(publish),
        };
        self.sent.push(Sending(Some(sent)));
    }

    /// Waits for confirmations, and judges. The error is what ended the channel; nothing more will come then.
    ///
    /// Cancel safe: what was gathered stays.
    pub(super) async fn settled(&mut self, verdicts: &mut Vec<(u64, Verdict)>) -> lapin::Result<()> {
        let Some(first) = self.sent.next().await else { return std::future::pending().await };
        self.keep(first);
        loop {
            self.gather();
            let judged = self.resolved.len();
            if judged == 0 {
                break;
            }
            self.pass_lock();
            self.gather();
            for (Flight { id, identity }, acked) in self.resolved.drain(..judged) {
                self.identities.forget(identity);
                let verdict = match (self.returned.remove(&id), acked) {
                    (true, _) => Verdict::Unroutable,
                    (false, true) => Verdict::Confirmed,
                    (false, false) => Verdict::Refused,
                };
                verdicts.push((id, verdict));
            }
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Takes all that is resolved by now.
    fn gather(&mut self) {
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut cx = Context::from_waker(&waker);
        loop {
            self.flag.0.store(false, Ordering::SeqCst);
            match self.sent.poll_next_unpin(&mut cx) {
                Poll::Ready(Some(next)) => self.keep(next),
                // It may pause although more is ready; it wakes itself at once then.
                Poll::Pending if self.flag.0.load(Ordering::SeqCst) => {}
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn keep(&mut self, (sent, flight, confirmation): (Sent, Flight, lapin::Result<Confirmation>)) {
        self.spare.push(sent);
        let (acked, returned) = match confirmation {
            Ok(confirmation) => (!confirmation.is_nack(), confirmation.take_message()),
            Err(error) => {
                self.broken.get_or_insert(error);
                return;
            }
        };
        self.returned.extend(returned.and_then(|message| self.identities.find(&message.delivery.properties)));
        self.resolved.push_back((flight, acked));
    }

    /// Takes and leaves the lock under which lapin handles confirmations. That is what the first poll of this call does;
    /// the promise that it may then wait for is of no use to anyone else.
    fn pass_lock(&mut self) {
        if let Some(Ok(returned)) = self.channel.lapin.wait_for_confirms().now_or_never() {
            let ids = returned.iter().filter_map(|message| self.identities.find(&message.delivery.properties));
            self.returned.extend(ids);
        }
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
