//! A channel on which a queue is consumed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use swarrot_core::topology::QueueKind;
use swarrot_core::{Delivery, Error, ErrorKind, Receipt, Result};
use tokio::time::Instant;

use super::core::Core;
use super::session::End;
use crate::connection::{CALL_TIMEOUT, CLOSE_TIMEOUT, Channel, Link};
use crate::convert::{Interned, from_delivery, short};
use crate::error::{from_lapin, within};
use crate::topology::{Remembered, SYSTEM, missing};

/// How long a provider that holds nothing hears nothing before it opens its channel anew, at first and at most.
const SILENCE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(300));

/// What the task works with.
pub(super) struct Wiring {
    pub(super) core: Arc<Core>,
    pub(super) link: Arc<Link>,
    pub(super) remembered: Arc<Remembered>,
    /// By what the management UI shows it.
    pub(super) name: String,
    /// How the queue is kept, if that is known.
    pub(super) kind: Option<QueueKind>,
}

/// A channel on which the queue is consumed.
pub(super) struct Serving {
    epoch: u64,
    channel: Channel,
    pub(super) consumer: Consumer,
    /// Whether it is consumed at the moment: not while it is paused.
    pub(super) listening: bool,
    /// Consumers so far on this channel: each needs a name of its own.
    generation: u32,
    texts: (Interned, Interned),
    /// When a delivery came last, and how long silence is taken for emptiness.
    pub(super) heard: Instant,
    pub(super) silence: Duration,
    arrived: Vec<(u64, Delivery)>,
}

impl Wiring {
    pub(super) async fn open(&self, lost: bool) -> Result<Serving> {
        self.remembered.restore(&self.link, lost).await?;
        let channel = self.link.channel().await?;
        let consumer = self.consume(&channel.lapin, 1).await?;
        let epoch = self.core.begin_epoch(channel.lapin.clone());
        Ok(Serving {
            epoch,
            channel,
            consumer,
            listening: true,
            generation: 1,
            texts: Default::default(),
            heard: Instant::now(),
            silence: SILENCE.0,
            arrived: Vec::new(),
        })
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
    pub(super) fn take_in(
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
        serving.heard = Instant::now();
        serving.silence = SILENCE.0;
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
        let (message, before) = from_delivery(&self.core.queue, &delivery.properties, delivery.data);
        if before.is_some() {
            self.core.note_count();
        }
        // Newer servers leave the count out at the first delivery.
        let counts = self.kind == Some(QueueKind::Quorum);
        let count = before.or(counts.then_some(0)).map(|before| before.saturating_add(1));
        let receipt = Receipt::new(serving.epoch, delivery.delivery_tag);
        let exchange = serving.texts.0.get(delivery.exchange.as_str());
        let routing_key = serving.texts.1.get(delivery.routing_key.as_str());
        let ours = Delivery::new(Arc::clone(&self.core.queue), receipt, message)
            .with_system(SYSTEM)
            .routed(exchange, routing_key)
            .delivered(delivery.redelivered, count);
        serving.arrived.push((delivery.delivery_tag, ours));
    }

    /// Ends delivery, and takes in what was still under way.
    async fn cancel(&self, serving: &mut Serving) -> Result<()> {
        // The task does not look after them meanwhile.
        self.core.send_put_off();
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
    pub(super) async fn change_prefetch(&self, serving: &mut Serving) -> Result<()> {
        if !serving.listening {
            return Ok(());
        }
        self.cancel(serving).await?;
        self.resume(serving).await
    }

    /// Makes sure that silence means that the queue is empty.
    ///
    /// When a quorum queue is deleted and made again at once, RabbitMQ keeps its consumers, does not tell them, and
    /// delivers nothing to them (seen on 3.10). From the client that looks like an empty queue; but a new channel does
    /// get what there is.
    pub(super) async fn listen_again(&self, serving: &mut Serving) -> Result<()> {
        serving.silence = serving.silence.saturating_mul(2).min(SILENCE.1);
        serving.heard = Instant::now();
        if !self.core.holds_nothing() {
            return Ok(());
        }
        self.cancel(serving).await?;
        if !self.core.holds_nothing() {
            // It was not silence: the first delivery came just now.
            return self.resume(serving).await;
        }
        let silence = serving.silence;
        *serving = self.open(false).await?;
        serving.silence = silence;
        Ok(())
    }

    /// Ends delivery for now, and gives back what was not handed out.
    pub(super) async fn pause(&self, serving: &mut Serving) -> Result<()> {
        if !std::mem::take(&mut serving.listening) {
            return Ok(());
        }
        let cancelled = self.cancel(serving).await;
        self.core.release_buffered();
        cancelled
    }

    /// Begins delivery again.
    pub(super) async fn resume(&self, serving: &mut Serving) -> Result<()> {
        serving.generation += 1;
        serving.consumer = self.consume(&serving.channel.lapin, serving.generation).await?;
        serving.listening = true;
        serving.heard = Instant::now();
        Ok(())
    }

    /// Gives back what is unsettled. Once the channel is closed the broker has processed all that was sent on it.
    pub(super) async fn close(&self, serving: &Serving) -> Result<()> {
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
    pub(super) fn temporary(&self, error: Error) -> Error {
        let error = if error.is_temporary() {
            error
        } else {
            Error::new(ErrorKind::Connection, error.message().to_owned()).with_source(error)
        };
        error.with_operation("receive").with_target(&*self.core.queue)
    }
}
