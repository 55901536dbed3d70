//! How several workers are run together.

use std::num::NonZeroU32;
use std::time::Duration;

use swarrot_core::Supervisor;

use super::super::read::{FromValue, Keys, Value, options};

options! {
    /// How several workers are run together: when one that has failed is restarted.
    pub(in crate::config) struct SupervisorKeys {
        /// The shortest limit of the pause before a restart; it doubles with each failure.
        backoff: Option<Duration> => "\"1s\"",
        /// The longest one.
        max_backoff: Option<Duration> => "\"1m\"",
        /// How long a worker has to run for its next failure to count as the first.
        healthy_after: Option<Duration> => "\"1m\"",
        /// Restarts workers that have ended by `max_messages` or `max_time`.
        restart_on_limit: bool = false,
        /// Gives up once there would be more restarts than this within a time, of all workers together.
        max_restarts: Option<RestartKeys> => "it never gives up",
        /// Whether SIGTERM, SIGINT and SIGQUIT stop it.
        signals: bool = true,
    }
}

options! {
    /// So many restarts in a time.
    pub(in crate::config) struct RestartKeys {
        /// How many.
        restarts: NonZeroU32,
        /// In which time.
        within: Duration,
    }
}

/// How several workers are run together, checked.
#[derive(Clone, Debug)]
pub(in crate::config) struct SupervisorTable(SupervisorKeys);

impl FromValue for SupervisorTable {
    const EXPECTED: &'static str = SupervisorKeys::EXPECTED;
    const KIND: &'static str = SupervisorKeys::KIND;

    fn from_value(value: &Value<'_>) -> Option<Self> {
        let keys = SupervisorKeys::from_value(value)?;
        if keys.first() > keys.max() {
            let what = "\"max_backoff\" is shorter than \"backoff\"; exchange them, or write both";
            value.table()?.refuse_at("max_backoff", what);
        }
        Some(Self(keys))
    }

    fn keys() -> Option<Keys> {
        SupervisorKeys::keys()
    }
}

impl SupervisorKeys {
    fn first(&self) -> Duration {
        self.backoff.unwrap_or(Duration::from_secs(1))
    }

    fn max(&self) -> Duration {
        self.max_backoff.unwrap_or(Duration::from_secs(60))
    }
}

impl SupervisorTable {
    /// A supervisor without workers as yet.
    pub(in crate::config) fn make(&self) -> Supervisor {
        let keys = &self.0;
        let mut supervisor = Supervisor::new().backoff(keys.first(), keys.max());
        if let Some(run) = keys.healthy_after {
            supervisor = supervisor.healthy_after(run);
        }
        if keys.restart_on_limit {
            supervisor = supervisor.restart_on_limit();
        }
        if let Some(RestartKeys { restarts, within }) = &keys.max_restarts {
            supervisor = supervisor.max_restarts(restarts.get(), *within);
        }
        if keys.signals { supervisor } else { supervisor.signals_off() }
    }
}
