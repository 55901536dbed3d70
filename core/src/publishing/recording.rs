//! A publisher that remembers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::blackhole::{closed, everything};
use crate::contract::{Capabilities, MessagePublisher, Outgoing};
use crate::error::{Error, Result};
use crate::message::Limits;

/// Remembers what was published: alone, with no broker, or in front of another publisher. For tests. Clones share
/// what they remember.
///
/// Alone, it takes everything that a backend would take: it refuses reserved headers and what is over the default
/// [`Limits`]. It can be told to fail. It remembers without end, until [`take`](Self::take).
///
/// # Cancel safety
/// A dropped `publish` has published each message, or not, and remembers none of them.
///
/// ```
/// use swarrot_core::publishing::RecordingPublisher;
/// use swarrot_core::{Error, ErrorKind, Message, MessagePublisherExt as _, Outgoing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let publisher = RecordingPublisher::new("events");
/// publisher.fail_next(Error::new(ErrorKind::Unroutable, "no queue"));
/// assert!(publisher.publish_one(Outgoing::new("user.reset", Message::new("1"))).await.is_err());
/// assert!(publisher.publish_one(Outgoing::new("user.reset", Message::new("2"))).await.is_ok());
/// assert_eq!(publisher.published().len(), 1);
/// # }
/// ```
#[derive(Clone)]
pub struct RecordingPublisher(Arc<Shared>);

struct Shared {
    exchange: String,
    inner: Option<Arc<dyn MessagePublisher>>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    published: Vec<Outgoing>,
    next: VecDeque<Error>,
    refuse: Option<Box<Refuse>>,
    closed: bool,
}

type Refuse = dyn FnMut(&Outgoing) -> Option<Error> + Send;

impl RecordingPublisher {
    /// Alone; it says that it publishes to this exchange.
    pub fn new(exchange: impl Into<String>) -> Self {
        Self::with(exchange.into(), None)
    }

    /// In front of another publisher, to which everything goes that it was not told to refuse.
    pub fn around(inner: Arc<dyn MessagePublisher>) -> Self {
        Self::with(inner.exchange().to_owned(), Some(inner))
    }

    fn with(exchange: String, inner: Option<Arc<dyn MessagePublisher>>) -> Self {
        Self(Arc::new(Shared { exchange, inner, state: Mutex::default(), changed: Notify::new() }))
    }

    /// What was published with success, in order, with the ids and headers that it has by now.
    pub fn published(&self) -> Vec<Outgoing> {
        self.lock().published.clone()
    }

    /// The same, and forgets it.
    pub fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.lock().published)
    }

    /// Waits until it remembers at least this many. Cancel safe.
    pub async fn wait_for(&self, messages: usize) {
        loop {
            // Made before the look, so that no publish falls between the look and the wait.
            let changed = self.0.changed.notified();
            if self.lock().published.len() >= messages {
                return;
            }
            changed.await;
        }
    }

    /// Refuses the next message with this error; several calls add up.
    pub fn fail_next(&self, error: Error) {
        self.lock().next.push_back(error);
    }

    /// Refuses, from now on, each message for which this gives an error. It must not use this publisher
    /// itself.
    pub fn fail_if(&self, refuse: impl FnMut(&Outgoing) -> Option<Error> + Send + 'static) {
        self.lock().refuse = Some(Box::new(refuse));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why each message is refused, if it is.
    fn refusals(&self, batch: &[Outgoing]) -> Vec<Option<Error>> {
        let mut state = self.lock();
        let alone = self.0.inner.is_none();
        let refused = |outgoing: &Outgoing| {
            if state.closed && alone {
                return Some(closed(&self.0.exchange));
            }
            let told = state.next.pop_front().or_else(|| state.refuse.as_mut()?(outgoing));
            let checked = || Limits::default().check_outgoing(&outgoing.message).err();
            told.or_else(|| checked().filter(|_| alone && !outgoing.is_trusted()))
        };
        batch.iter().map(refused).collect()
    }
}

impl fmt::Debug for RecordingPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingPublisher")
            .field("exchange", &self.0.exchange)
            .field("inner", &self.0.inner)
            .field("published", &self.lock().published.len())
            .finish()
    }
}

#[async_trait]
impl MessagePublisher for RecordingPublisher {
    fn exchange(&self) -> &str {
        &self.0.exchange
    }

    fn capabilities(&self) -> Capabilities {
        self.0.inner.as_ref().map_or_else(everything, |inner| inner.capabilities())
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<()>> {
        let refusals = self.refusals(batch);
        let mut taken: Vec<_> =
            batch.iter().zip(&refusals).filter(|(_, no)| no.is_none()).map(|(outgoing, _)| outgoing.clone()).collect();
        // What a backend would do, so that what is remembered has the id that was sent.
        for outgoing in &mut taken {
            outgoing.message.ensure_id();
        }
        let answers = match &self.0.inner {
            Some(inner) => inner.publish(&taken).await,
            None => taken.iter().map(|_| Ok(())).collect(),
        };
        let accepted = taken.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.lock().published.extend(accepted.map(|(outgoing, _)| outgoing));
        self.0.changed.notify_waiters();
        let mut answers = answers.into_iter();
        let missing =
            || Err(Error::new(crate::ErrorKind::Broker, "the publisher gave no result").with_operation("publish"));
        refusals
            .into_iter()
            .map(|refusal| refusal.map_or_else(|| answers.next().unwrap_or_else(missing), Err))
            .collect()
    }

    async fn close(&self) -> Result<()> {
        self.lock().closed = true;
        match &self.0.inner {
            Some(inner) => inner.close().await,
            None => Ok(()),
        }
    }
}
