//! Where deliveries come from.

mod acks;
mod core;
mod serving;
mod session;
mod unsettled;

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use swarrot_core::message::names;
use swarrot_core::topology::QueueKind;
use swarrot_core::{
    Capabilities, ConnectionState, Delivery, Error, ErrorKind, Message, MessageProvider, MessagePublisher, Outcome,
    Outgoing, ProviderOptions, Receipt, Result, SettleError, Settlement,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::core::Core;
use self::serving::Wiring;
use self::session::{Answer, Command, Session};
use crate::connection::{CALL_TIMEOUT, Link, Server};
use crate::publisher::AmqpPublisher;
use crate::topology::{Remembered, capabilities};

/// A provider of one queue: a handle to the task that owns the channel.
#[derive(Debug)]
pub(crate) struct AmqpProvider {
    core: Arc<Core>,
    kind: Option<QueueKind>,
    server: Server,
    /// Publishes the copies of what is retried or parked.
    copies: Arc<AmqpPublisher>,
    commands: mpsc::Sender<Command>,
}

impl AmqpProvider {
    /// Starts the task; it connects at the first `receive`.
    pub(crate) fn start(
        link: Arc<Link>,
        remembered: Arc<Remembered>,
        copies: Arc<AmqpPublisher>,
        (queue, service): (&str, &str),
        options: &ProviderOptions,
        server: Server,
    ) -> Self {
        let core = Arc::new(Core::new(queue, options.dead_letter, options.prefetch.get()));
        let kind = remembered.kind(queue);
        // Callers wait for their answers, so that there are never more than callers.
        let (commands, receiver) = mpsc::channel(8);
        let wiring = Wiring { core: Arc::clone(&core), link, remembered, name: service.to_owned(), kind };
        tokio::spawn(Session { wiring, commands: receiver }.run());
        Self { core, kind, server, copies, commands }
    }

    /// Tells the task, and waits until it has done so.
    async fn tell(&self, command: impl FnOnce(Answer) -> Command, operation: &'static str) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(command(answer)).await.is_err() {
            // The task has ended, as it does when the provider is closed.
            return Ok(());
        }
        match tokio::time::timeout(3 * CALL_TIMEOUT, answered).await {
            Ok(result) => result.unwrap_or(Ok(())),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the server does not answer")),
        }
        .map_err(|error| error.with_operation(operation).with_target(&*self.core.queue))
    }
}

#[async_trait]
impl MessageProvider for AmqpProvider {
    fn queue(&self) -> &str {
        &self.core.queue
    }

    fn capabilities(&self) -> Capabilities {
        let counted = self.core.counts.load(Ordering::Relaxed).then_some(QueueKind::Quorum);
        capabilities(self.kind.or(counted), &self.server)
    }

    fn connection(&self) -> ConnectionState {
        self.core.connection()
    }

    async fn set_prefetch(&self, prefetch: NonZeroU16) -> Result<()> {
        if !self.core.set_prefetch(prefetch.get()) {
            return Ok(());
        }
        self.tell(Command::Prefetch, "set the prefetch").await
    }

    async fn receive(&self, max: NonZeroUsize, wait: Duration) -> Result<Vec<Delivery>> {
        // A wait that no clock can measure never ends.
        let deadline = Instant::now().checked_add(wait);
        loop {
            let ready = self.core.ready.notified();
            tokio::pin!(ready);
            // From here on it is told of whatever happens after the look below. If this call is dropped, another one
            // is told instead.
            ready.as_mut().enable();
            if let Some(result) = self.core.take(max.get()) {
                return result.map_err(|error| error.with_operation("receive").with_target(&*self.core.queue));
            }
            match deadline {
                None => ready.await,
                Some(at) => {
                    if timeout_at(at, ready).await.is_err() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<(), SettleError> {
        let (epoch, settled) = self.core.settle(settlements);
        let mut failures = settled.failures;
        if !settled.copies.is_empty() {
            let receipts: Vec<_> = settled.copies.iter().map(|(delivery, _)| delivery.receipt()).collect();
            let (core, copies) = (Arc::clone(&self.core), Arc::clone(&self.copies));
            // In a task of its own: a copy that was sent must be followed by its acknowledgement even if this call is
            // dropped.
            let job = tokio::spawn(async move { copy(&core, &copies, epoch, settled.copies).await });
            failures.extend(job.await.unwrap_or_else(|_| {
                let error = Error::new(ErrorKind::Unknown, "the runtime ended before the copy was confirmed");
                receipts.into_iter().map(|receipt| (receipt, self.core.about(error.clone()))).collect()
            }));
        }
        SettleError::check(failures)
    }

    async fn extend(&self, receipts: &[Receipt]) -> Result<(), SettleError> {
        // RabbitMQ keeps a delivery with its provider for as long as the channel lives.
        SettleError::check(self.core.not_held(receipts))
    }

    async fn pause(&self) -> Result<()> {
        self.core.pause();
        self.tell(Command::Pause, "pause").await
    }

    async fn stop(&self) -> Result<()> {
        self.core.stop();
        self.tell(Command::Stop, "stop").await
    }

    async fn close(&self) -> Result<()> {
        self.core.stop();
        self.tell(Command::Close, "close").await
    }
}

/// How long a retry is held back whose queue was full.
const FULL: Duration = Duration::from_secs(5);

/// Publishes copies, and acknowledges the originals of those that the broker has taken.
async fn copy(
    core: &Core,
    publisher: &AmqpPublisher,
    epoch: u64,
    copies: Vec<(Delivery, Outcome)>,
) -> Vec<(Receipt, Error)> {
    let outgoing: Vec<_> = copies.iter().map(|(delivery, outcome)| outgoing(delivery, outcome)).collect();
    let mut results = publisher.publish(&outgoing).await;
    // A retry always fits: with its own queue full it waits elsewhere. In its worker's hands it would keep out what could be handled,
    // and with enough of them nobody would take anything out of the queue any more. One that is held back goes elsewhere anyhow, and
    // is not to come earlier than it should.
    let full: Vec<_> = (0..copies.len())
        .filter(|i| matches!(&copies[*i].1, Outcome::Retry { after, .. } if after.is_zero()))
        .filter(|i| results[*i].as_ref().is_err_and(|error| error.kind() == ErrorKind::Rejected))
        .collect();
    let delayed: Vec<_> = full.into_iter().map(|i| (i, outgoing[i].clone().delay(FULL))).collect();
    publish_instead(publisher, delayed, &mut results).await;
    // A server may allow smaller frames than are usual. What cannot be parked would stay in its worker's hands too.
    let bare: Vec<_> = (0..copies.len())
        .filter(|i| results[*i].as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge))
        .filter_map(|i| match &copies[i] {
            (delivery, Outcome::Reject { reason }) => {
                Some((i, parked(delivery, delivery.bare_dead_letter_copy(reason))))
            }
            _ => None,
        })
        .collect();
    publish_instead(publisher, bare, &mut results).await;
    let receipts = copies.iter().map(|(delivery, _)| delivery.receipt());
    let results = results.into_iter().zip(&copies).map(|(result, (delivery, outcome))| {
        result.map_err(|error| match outcome {
            Outcome::Reject { .. } => not_parked(error, delivery.queue()),
            _ => error,
        })
    });
    core.end_copies(epoch, receipts.zip(results).collect())
}

/// Publishes these in the place of those whose results stand at their numbers.
async fn publish_instead(publisher: &AmqpPublisher, messages: Vec<(usize, Outgoing)>, results: &mut [Result<()>]) {
    if messages.is_empty() {
        return;
    }
    let (places, messages): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
    for (place, result) in places.into_iter().zip(publisher.publish(&messages).await) {
        results[place] = result;
    }
}

fn parked(delivery: &Delivery, copy: Message) -> Outgoing {
    Outgoing::copy(names::dead_letter_queue(delivery.queue()), copy)
}

fn outgoing(delivery: &Delivery, outcome: &Outcome) -> Outgoing {
    match outcome {
        Outcome::Reject { reason } => parked(delivery, delivery.dead_letter_copy(reason)),
        Outcome::Retry { after, reason } => {
            Outgoing::copy(delivery.queue(), delivery.retry_copy(reason.as_ref())).delay(*after)
        }
        // Only these two need copies.
        _ => Outgoing::copy(delivery.queue(), delivery.retry_copy(None)),
    }
}

fn not_parked(error: Error, queue: &str) -> Error {
    if error.kind() != ErrorKind::Unroutable {
        return error;
    }
    let message = "the dead-letter queue does not exist, so the message is kept; declare it";
    Error::new(ErrorKind::Unroutable, message)
        .with_operation("park")
        .with_target(names::dead_letter_queue(queue))
        .with_source(error)
}
