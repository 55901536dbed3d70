//! How long things take: long enough for figures, or just long enough for a test.

use std::time::Duration;

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Long enough for figures that mean something.
    Steady,
    /// Each just long enough to happen.
    Brief,
}

impl Pace {
    const fn of(self, steady: u64, brief: u64) -> Duration {
        Duration::from_millis(match self {
            Self::Steady => steady,
            Self::Brief => brief,
        })
    }

    /// How long connections are silent: longer than one that is dead takes to be noticed.
    pub(crate) fn silent(self) -> Duration {
        self.of(10_000, 4000)
    }

    /// How long a broker has no memory, or is hard to reach.
    pub(crate) fn in_need(self) -> Duration {
        self.of(10_000, 2000)
    }

    /// How long nothing can be parked.
    pub(crate) fn no_parking(self) -> Duration {
        self.of(8000, 2000)
    }

    /// How long a server answers nobody.
    pub(crate) fn paused(self) -> Duration {
        self.of(4000, 1500)
    }

    /// How long one node of a cluster is away.
    pub(crate) fn node_down(self) -> Duration {
        self.of(3000, 1000)
    }

    /// How long RabbitMQ waits for a queue that is gone to take a delayed message, before it looks for the new one.
    /// `None` is its default, three minutes.
    pub(crate) fn passing_on(self) -> Option<Duration> {
        (self == Self::Brief).then_some(Duration::from_secs(5))
    }

    /// For the URL of an AMQP broker, in seconds: a connection is dead after twice this.
    pub(crate) fn heartbeat(self) -> u64 {
        self.of(3000, 1000).as_secs()
    }

    /// For the URL of a Redis server, in seconds: for its answers.
    pub(crate) fn timeout(self) -> u64 {
        self.of(3000, 2000).as_secs()
    }
}
