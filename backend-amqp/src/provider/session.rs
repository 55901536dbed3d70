//! The task that owns a provider's channel: it connects when deliveries are wanted, takes them in, and starts anew after
//! whatever goes wrong.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use swarrot_core::{Delivery, Error, ErrorKind, Receipt, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::core::Core;
use crate::connection::{Backoff, CALL_TIMEOUT, CLOSE_TIMEOUT, Channel, Link};
use crate::convert::{Interned, from_delivery, short};
use crate::error::{from_lapin, within};
use crate::topology::{Remembered, missing};

/// A channel that lived so long was a success: the next try to connect comes at once.
const LIVED: Duration = Duration::from_secs(5);

pub(super) type Answer = oneshot::Sender<Result<()>>;

/// What a provider tells its task. When the provider is dropped, the task ends.
pub(super) enum Command {
    /// The prefetch was changed.
    Prefetch(Answer),
    Stop(Answer),
    Close(Answer),
}

pub(super) struct Session {
    pub(super) wiring: Wiring,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// What the task works with.
pub(super) struct Wiring {
    pub(super) core: Arc<Core>,
    pub(super) link: Arc<Link>,
    pub(super) remembered: Arc<Remembered>,
    /// By what the management UI shows it.
    pub(super) name: String,
    /// Whether the broker is known to count the deliveries of this queue.
    pub(super) counts: bool,
}

/// A channel on which the queue is consumed.
struct Serving {
    epoch: u64,
    channel: Channel,
    consumer: Consumer,
    /// Consumers so far on this channel: each needs a name of its own.
    generation: u32,
    texts: (Interned, Interned),
    arrived: Vec<(u64, Delivery)>,
}

/// How the service of a channel, or the wait for one, ended.
enum End {
    /// The channel broke, or the broker ended the delivery.
    Broken { error: Error, lost: bool },
    /// The task is to end.
    Over,
}

impl Session {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    if !self.unconnected(command).await {
                        return;
                    }
                    continue;
                }
                () = self.wiring.core.wanted.notified() => {}
            }
            // Whether the queue may be gone although the connection is not.
            let mut lost = false;
            loop {
                let opened = match self.open_unless_told(lost).await {
                    Ok(opened) => opened,
                    Err(End::Broken { error, .. }) if is_final(error.kind()) => {
                        self.wiring.core.park(error.with_operation("receive").with_target(&*self.wiring.core.queue));
                        break;
                    }
                    Err(End::Broken { error, .. }) => {
                        tracing::info!(queue = &*self.wiring.core.queue, %error, "cannot receive, trying again");
                        self.wiring.core.failed(self.wiring.temporary(error));
                        if !self.pause(backoff.next()).await {
                            return;
                        }
                        continue;
                    }
                    Err(End::Over) => return,
                };
                let since = Instant::now();
                match self.serve(opened).await {
                    End::Over => return,
                    End::Broken { error, lost: gone } => {
                        self.wiring.core.end_epoch();
                        tracing::info!(queue = &*self.wiring.core.queue, %error, "the provider's channel ended");
                        lost = gone;
                    }
                }
                if since.elapsed() > LIVED {
                    backoff.reset();
                }
                if !self.pause(backoff.next()).await {
                    return;
                }
            }
        }
    }

    /// Does what is told while there is no channel; false if the task is to end.
    async fn unconnected(&mut self, command: Option<Command>) -> bool {
        let mut next = command;
        loop {
            match next {
                None => return false,
                Some(Command::Prefetch(answer)) => {
                    let _ = answer.send(Ok(()));
                    return true;
                }
                Some(Command::Stop(answer)) => {
                    let _ = answer.send(Ok(()));
                }
                Some(Command::Close(answer)) => {
                    self.wiring.core.release_all();
                    let _ = answer.send(Ok(()));
                    return false;
                }
            }
            // Stopped: nothing is left to do but to be closed.
            next = self.commands.recv().await;
        }
    }

    async fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                command = self.commands.recv() => if !self.unconnected(command).await { return false },
            }
        }
    }

    async fn open_unless_told(&mut self, lost: bool) -> Result<Serving, End> {
        loop {
            let command = tokio::select! {
                opened = self.wiring.open(lost) => return opened.map_err(|error| End::Broken { error, lost }),
                command = self.commands.recv() => command,
            };
            if !self.unconnected(command).await {
                return Err(End::Over);
            }
        }
    }

    async fn serve(&mut self, mut serving: Serving) -> End {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None => return End::Over,
                    Some(Command::Prefetch(answer)) => {
                        let changed = self.wiring.change_prefetch(&mut serving).await;
                        let _ = answer.send(changed.clone().map_err(|error| self.wiring.temporary(error)));
                        if let Err(error) = changed {
                            return End::Broken { error, lost: false };
                        }
                    }
                    Some(Command::Stop(answer)) => {
                        let stopped = self.wiring.stop(&mut serving).await;
                        let _ = answer.send(stopped.map_err(|error| self.wiring.temporary(error)));
                        return self.only_settle(&serving).await;
                    }
                    Some(Command::Close(answer)) => {
                        let stopped = self.wiring.stop(&mut serving).await;
                        let closed = self.wiring.close(&serving).await;
                        let _ = answer.send(stopped.and(closed).map_err(|error| self.wiring.temporary(error)));
                        return End::Over;
                    }
                },
                next = serving.consumer.next() => {
                    if let Err(end) = self.wiring.take_in(&mut serving, next) {
                        return end;
                    }
                }
            }
        }
    }

    /// Keeps the channel for what was handed out.
    async fn only_settle(&mut self, serving: &Serving) -> End {
        loop {
            match self.commands.recv().await {
                None => return End::Over,
                Some(Command::Prefetch(answer) | Command::Stop(answer)) => {
                    let _ = answer.send(Ok(()));
                }
                Some(Command::Close(answer)) => {
                    let closed = self.wiring.close(serving).await;
                    let _ = answer.send(closed.map_err(|error| self.wiring.temporary(error)));
                    return End::Over;
                }
            }
        }
    }
}

impl Wiring {
    async fn open(&self, lost: bool) -> Result<Serving> {
        self.remembered.restore(&self.link, lost).await?;
        let channel = self.link.channel().await?;
        let consumer = self.consume(&channel.lapin, 1).await?;
        let epoch = self.core.begin_epoch(channel.lapin.clone());
        Ok(Serving { epoch, channel, consumer, generation: 1, texts: Default::default(), arrived: Vec::new() })
    }

    /// Begins delivery, with the present prefetch.
    async fn consume(&self, channel: &lapin::Channel, generation: u32) -> Result<Consumer> {
        let options = BasicQosOptions { global: false };
        within(CALL_TIMEOUT, "set the prefetch", channel.basic_qos(self.core.prefetch(), options)).await?;
        let queue = short(&self.core.queue, "the queue's name")?;
        let mut name: String = self.name.chars().take(60).collect();
        if generation > 1 {
            name = format!("{name} #{generation}");
        }
        let consume = channel.basic_consume(queue, name.into(), BasicConsumeOptions::default(), FieldTable::default());
        within(CALL_TIMEOUT, "receive", consume).await.map_err(|error| missing(error, &self.core.queue, "queue"))
    }

    /// Takes in a delivery and all that came with it.
    fn take_in(
        &self,
        serving: &mut Serving,
        first: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Result<(), End> {
        let mut next = first;
        let end = loop {
            match next {
                Some(Ok(delivery)) => self.translate(serving, delivery),
                Some(Err(error)) => break Some(End::Broken { error: from_lapin(error), lost: false }),
                None => {
                    // The channel is fine, the queue is not: it was deleted, or its node went away.
                    let lost = serving.channel.lapin.status().connected();
                    let message = if lost { "the broker ended the delivery" } else { "the channel was closed" };
                    break Some(End::Broken { error: Error::new(ErrorKind::Connection, message), lost });
                }
            }
            match serving.consumer.next().now_or_never() {
                Some(more) => next = more,
                None => break None,
            }
        };
        let complete = serving.arrived.is_empty() || self.core.push(&mut serving.arrived);
        match end {
            Some(end) => Err(end),
            None if complete => Ok(()),
            None => {
                let error = Error::new(ErrorKind::Connection, "a delivery is missing between others");
                Err(End::Broken { error, lost: false })
            }
        }
    }

    fn translate(&self, serving: &mut Serving, delivery: lapin::message::Delivery) {
        let (message, before) = from_delivery(&delivery.properties, delivery.data);
        if before.is_some() {
            self.core.note_count();
        }
        // Newer servers leave the count out at the first delivery.
        let count = before.or(self.counts.then_some(0)).map(|before| before.saturating_add(1));
        let receipt = Receipt::new(serving.epoch, delivery.delivery_tag);
        let exchange = serving.texts.0.get(delivery.exchange.as_str());
        let routing_key = serving.texts.1.get(delivery.routing_key.as_str());
        let ours = Delivery::new(Arc::clone(&self.core.queue), receipt, message)
            .routed(exchange, routing_key)
            .delivered(delivery.redelivered, count);
        serving.arrived.push((delivery.delivery_tag, ours));
    }

    /// Ends delivery, and takes in what was still under way.
    async fn cancel(&self, serving: &mut Serving) -> Result<()> {
        let channel = serving.channel.lapin.clone();
        let name = serving.consumer.tag();
        within(CLOSE_TIMEOUT, "stop", channel.basic_cancel(name, BasicCancelOptions::default())).await?;
        loop {
            match serving.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => self.translate(serving, delivery),
                Some(Some(Err(error))) => return Err(from_lapin(error)),
                // The end of the stream is there before the answer to the cancellation is.
                Some(None) | None => break,
            }
        }
        if serving.arrived.is_empty() || self.core.push(&mut serving.arrived) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Connection, "a delivery is missing between others"))
    }

    /// A prefetch holds from the next consumer on (quorum queues know no other kind): so a new one takes over. What was
    /// delivered to the old one stays valid, for the channel stays.
    async fn change_prefetch(&self, serving: &mut Serving) -> Result<()> {
        self.cancel(serving).await?;
        serving.generation += 1;
        serving.consumer = self.consume(&serving.channel.lapin, serving.generation).await?;
        Ok(())
    }

    async fn stop(&self, serving: &mut Serving) -> Result<()> {
        let cancelled = self.cancel(serving).await;
        self.core.release_buffered();
        cancelled
    }

    /// Gives back what is unsettled. Once the channel is closed the broker has processed all that was sent on it.
    async fn close(&self, serving: &Serving) -> Result<()> {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async {
            loop {
                let copied = self.core.copied.notified();
                if !self.core.is_copying() {
                    break;
                }
                copied.await;
            }
        })
        .await;
        self.core.release_all();
        let channel = &serving.channel.lapin;
        if !channel.status().connected() {
            return Err(Error::new(ErrorKind::Connection, "the connection broke before the broker had processed all"));
        }
        let closed = within(CLOSE_TIMEOUT, "close", channel.close(200, "OK".into())).await;
        if closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            self.link.discard(serving.channel.connection).await;
        }
        closed
    }

    /// Whatever the reason, trying again is right.
    fn temporary(&self, error: Error) -> Error {
        let error = if error.is_temporary() {
            error
        } else {
            Error::new(ErrorKind::Connection, error.message().to_owned()).with_source(error)
        };
        error.with_operation("receive").with_target(&*self.core.queue)
    }
}

/// Whether trying again is pointless until somebody mends something.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AccessRefused
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::Closed
    )
}
