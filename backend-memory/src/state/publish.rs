//! How messages come in.

use std::sync::Arc;
use std::time::Duration;

use swarrot_core::{Error, ErrorKind, Message, Result};
use tokio::time::Instant;

use super::State;
use super::entry::{Entry, Incoming};
use super::faults::PublishFault;
use crate::config::MAX_DELAY;
use crate::error;
use crate::testing::Published;

impl State {
    /// Puts a message into every queue to which the exchange routes it, or into none.
    pub(crate) fn publish(
        &mut self,
        exchange: &Arc<str>,
        routing_key: &str,
        message: &Arc<Message>,
        delay: Option<Duration>,
        now: Instant,
    ) -> Result<()> {
        let fault = self.faults.next_publish();
        match fault {
            Some(PublishFault::NotApplied) => return Err(error::cut()),
            Some(PublishFault::Rejected) => {
                let message = "the broker refused the message, as a fault switch told it to; try again";
                return Err(Error::new(ErrorKind::Rejected, message).with_target(&**exchange));
            }
            Some(PublishFault::Applied) | None => {}
        }
        let due = due(delay, now)?;
        let queues = self.route(exchange, routing_key)?;
        for name in &queues {
            self.advance(name, now);
        }
        for name in &queues {
            self.check_room(name)?;
        }
        for name in &queues {
            // On the default exchange the key is the queue's name, which is there already.
            let routing_key = if **name == *routing_key { Arc::clone(name) } else { routing_key.into() };
            let (message, exchange) = (Arc::clone(message), Arc::clone(exchange));
            self.counts.confirmed += 1;
            self.enqueue(name, Incoming { message, exchange, routing_key, due }, now);
        }
        self.recording.add(|| Published {
            exchange: exchange.to_string(),
            routing_key: routing_key.to_owned(),
            message: (**message).clone(),
            delay,
        });
        match fault {
            Some(_) => Err(Error::new(
                ErrorKind::Unknown,
                "the confirmation was lost, as a fault switch told; publish it again with the same id",
            )
            .with_target(&**exchange)),
            None => Ok(()),
        }
    }

    /// Puts a message into one queue, past all that a publisher does.
    pub(crate) fn inject(&mut self, name: &str, message: Message, now: Instant) -> Result<()> {
        self.advance(name, now);
        self.check_room(name)?;
        let name = Arc::clone(&self.queue(name)?.name);
        let routing_key = Arc::clone(&name);
        self.counts.confirmed += 1;
        self.enqueue(&name, Incoming { message: Arc::new(message), exchange: "".into(), routing_key, due: None }, now);
        Ok(())
    }

    pub(super) fn check_room(&self, queue: &str) -> Result<()> {
        let queue = self.queue(queue)?;
        match queue.spec.max_length {
            Some(limit) if !queue.has_room() => Err(error::full(&queue.name, limit)),
            _ => Ok(()),
        }
    }

    /// Puts a message into a queue, whether it has room or not.
    pub(super) fn enqueue(&mut self, name: &str, incoming: Incoming, now: Instant) {
        let sequence = self.next_id();
        let Some(queue) = self.queues.get_mut(name) else { return };
        let Incoming { message, exchange, routing_key, due } = incoming;
        let mut entry = Entry {
            sequence,
            position: sequence,
            priority: queue.priority(&message),
            message,
            exchange,
            routing_key,
            deliveries: 0,
            redelivered: false,
            expires: None,
        };
        if let Some(due) = due {
            queue.delayed.insert((due, sequence), entry);
        } else {
            entry.expires = queue.expiry(&entry.message, now);
            queue.ready.insert(entry);
        }
        self.wake(name);
    }
}

/// When something is due that is held back for so long; `None` for at once.
pub(super) fn due(delay: Option<Duration>, now: Instant) -> Result<Option<Instant>> {
    match delay.filter(|delay| !delay.is_zero()) {
        None => Ok(None),
        Some(delay) if delay <= MAX_DELAY => Ok(Some(now + delay)),
        Some(delay) => Err(error::delay_too_long(delay, MAX_DELAY)),
    }
}
