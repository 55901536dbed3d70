//! How a worker is, for probes.

use std::time::Duration;

use super::report::Counts;
use super::shared::{Shared, Stage};
use crate::contract::ConnectionState;
use crate::error::Error;

/// How a worker is at a moment, for liveness and readiness probes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The queue it works on.
    pub queue: String,
    /// Whether it has been started and has not begun to stop.
    pub running: bool,
    /// Whether its provider is connected.
    pub connection: ConnectionState,
    /// How long ago the broker last answered, with or without messages; `None` before the first time.
    pub last_receive: Option<Duration>,
    /// For how long the broker has only failed, with its last error.
    pub failing: Option<(Duration, Error)>,
    /// For how long a gate has held it back ([`Worker::gate`](super::Worker::gate)), and what the gate says. It does not hear the
    /// broker then, and is healthy all the same.
    pub held: Option<(Duration, String)>,
    /// How often what has happened since it was started.
    pub counts: Counts,
    /// The messages that are handled at the moment, the oldest first.
    pub in_flight: Vec<HealthInFlight>,
}

/// A message that is handled at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthInFlight {
    /// The queue it came from.
    pub queue: String,
    /// Its id.
    pub message_id: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How long it has been handled.
    pub age: Duration,
}

impl Health {
    pub(super) fn of(shared: &Shared) -> Self {
        let mut in_flight = Vec::new();
        for table in shared.tables() {
            table.for_each(|_, running| {
                in_flight.push(HealthInFlight {
                    queue: running.delivery.queue().to_owned(),
                    message_id: running.delivery.id().to_owned(),
                    attempt: running.delivery.attempt(),
                    age: running.since.elapsed(),
                });
            });
        }
        in_flight.sort_by_key(|message| std::cmp::Reverse(message.age));
        Self {
            queue: shared.provider.queue().to_owned(),
            running: shared.started().is_some() && shared.stage() == Stage::Running,
            connection: shared.provider.connection(),
            last_receive: shared.last_receive().map(|at| at.elapsed()),
            failing: shared.failing().map(|(since, error)| (since.elapsed(), error)),
            held: shared.held.now(),
            counts: shared.counters.snapshot(),
            in_flight,
        }
    }

    /// Whether it runs and hears the broker: a worker that is up but deaf is not healthy.
    pub fn is_healthy(&self) -> bool {
        self.running && self.connection == ConnectionState::Connected && self.failing.is_none()
    }

    /// The age of the message that is handled longest.
    pub fn oldest(&self) -> Option<Duration> {
        self.in_flight.first().map(|message| message.age)
    }
}
