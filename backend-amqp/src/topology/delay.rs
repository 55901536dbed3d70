//! Delays without a plugin: a grid of queues in which messages wait until they expire.
//!
//! A delay is rounded up to two significant digits. For each value there is one fanout exchange and one queue, both
//! called `swarrot.delay.<ms>`, whose messages live so many milliseconds and then go on to the default exchange with
//! the routing key they were published with: the name of the queue they are for. So one set of queues serves a whole
//! virtual host, and since all messages of a queue live equally long, none waits behind a longer one.
//!
//! A server that is killed while such a queue is made can keep its name and never give it a leader again (seen on 3.10 and 4.0):
//! what is published to it is then never confirmed. Another one, `swarrot.delay.<ms>-2`, takes its place.
//!
//! The queues never expire, for an expiring queue takes its messages with it; and they dead-letter at least once, so that
//! a message whose target is missing waits for it.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use swarrot_core::{Error, ErrorKind, Result};

use super::desk::Desk;
use super::inspect;

const PREFIX: &str = "swarrot.delay.";

/// The longest delay, the last step of the grid below RabbitMQ's limit of 2^32 - 1 milliseconds: 48 days.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(4_200_000);
/// By how much rounding up lengthens a delay at most, in per cent.
pub(crate) const GRID_PERCENT: u8 = 10;

/// How many delay queues are tried for one step of the grid.
const GENERATIONS: u8 = 4;

/// Whether this is the name of a delay queue.
pub(crate) fn is_bucket(queue: &str) -> bool {
    queue.starts_with(PREFIX)
}

/// One step of the grid, for what goes on to one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    milliseconds: u32,
    /// Where messages go on to; empty for the default exchange.
    exchange: String,
    /// How many before it are of no use.
    generation: u8,
}

impl Bucket {
    /// The bucket for this delay; `None` for none.
    pub(crate) fn new(delay: Option<Duration>, exchange: &str) -> Result<Option<Self>> {
        let Some(delay) = delay.filter(|delay| !delay.is_zero()) else { return Ok(None) };
        if delay > MAX_DELAY {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("a delay of {delay:?} is too long, RabbitMQ holds back for {MAX_DELAY:?} at most"),
            ));
        }
        let milliseconds = grid(u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX));
        let milliseconds = u32::try_from(milliseconds).map_err(|_| Error::new(ErrorKind::Unsupported, "too long"))?;
        Ok(Some(Self { milliseconds, exchange: exchange.to_owned(), generation: 0 }))
    }

    /// The name of its exchange and its queue.
    pub(crate) fn name(&self) -> String {
        let number = match self.generation {
            0 => String::new(),
            generation => format!("-{}", u16::from(generation) + 1),
        };
        match self.exchange.as_str() {
            "" => format!("{PREFIX}{}{number}", self.milliseconds),
            exchange => format!("{PREFIX}{}{number}.{exchange}", self.milliseconds),
        }
    }

    /// How long it holds a message back.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.milliseconds.into())
    }

    /// Another one for the same, to use in the place of this one; `None` after a few.
    pub(crate) fn replacement(&self) -> Option<Self> {
        let generation = self.generation + 1;
        (generation < GENERATIONS).then(|| Self { generation, ..self.clone() })
    }

    /// Whether what it holds goes straight to a queue.
    pub(crate) fn to_queues(&self) -> bool {
        self.exchange.is_empty()
    }

    /// Makes sure that it exists; with passive topology only looks. Whether it was made just now.
    pub(crate) async fn declare(&self, desk: &mut Desk<'_>, passive: bool) -> Result<bool> {
        let name = self.name();
        let made = match inspect(desk, &name).await {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::NotFound && !passive => true,
            Err(error) => return Err(error),
        };
        let exchange = name.clone();
        let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
        desk.call("declare delay", &name, |channel| async move {
            channel.exchange_declare(exchange.into(), ExchangeKind::Fanout, options, FieldTable::default()).await
        })
        .await?;
        if passive {
            return Ok(false);
        }
        let (queue, arguments) = (name.clone(), self.arguments());
        desk.call("declare delay", &name, |channel| async move {
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(queue.into(), options, arguments).await
        })
        .await?;
        let both = name.clone();
        desk.call("declare delay", &name, |channel| async move {
            let (queue, exchange) = (both.as_str().into(), both.as_str().into());
            channel.queue_bind(queue, exchange, "".into(), QueueBindOptions::default(), FieldTable::default()).await
        })
        .await?;
        Ok(made)
    }

    fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        for (name, value) in [
            ("x-queue-type", "quorum"),
            ("x-dead-letter-exchange", self.exchange.as_str()),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ] {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(self.milliseconds.into()));
        arguments
    }
}

/// Rounds up to two significant digits, and to tens.
fn grid(milliseconds: u64) -> u64 {
    let mut step = 10;
    while milliseconds > 99 * step {
        step *= 10;
    }
    milliseconds.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_two_digits() {
        for (delay, step) in [
            (1, 10),
            (10, 10),
            (11, 20),
            (99, 100),
            (101, 110),
            (990, 990),
            (991, 1000),
            (1000, 1000),
            (1001, 1100),
            (59_999, 60_000),
            (60_001, 61_000),
            (4_100_000_001, 4_200_000_000),
        ] {
            assert_eq!(grid(delay), step, "{delay}");
        }
    }

    #[test]
    fn never_early_and_at_most_a_tenth_late() {
        for _ in 0..10_000 {
            let delay = fastrand::u64(100..4_200_000_000);
            let rounded = grid(delay);
            assert!(rounded >= delay && (rounded - delay) * 100 <= delay * u64::from(GRID_PERCENT), "{delay}");
        }
    }

    #[test]
    fn names_and_limits() {
        let bucket = |ms, exchange| Bucket::new(Some(Duration::from_millis(ms)), exchange);
        assert_eq!(bucket(1500, "").expect("short").expect("some").name(), "swarrot.delay.1500");
        assert_eq!(bucket(1501, "events").expect("short").expect("some").name(), "swarrot.delay.1600.events");
        let first = bucket(1500, "events").expect("short").expect("some");
        let names: Vec<String> =
            std::iter::successors(first.replacement(), Bucket::replacement).map(|b| b.name()).collect();
        assert_eq!(names[..2], ["swarrot.delay.1500-2.events", "swarrot.delay.1500-3.events"]);
        assert_eq!(names.len() + 1, usize::from(GENERATIONS));
        assert_eq!(bucket(0, "").expect("none"), None);
        assert_eq!(bucket(4_200_000_001, "").map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
        assert!(bucket(4_200_000_000, "").expect("the longest").is_some());
    }
}
