//! What a worker did, and why it stopped.

use std::fmt;
use std::time::Duration;

use crate::error::{BoxError, Error};

/// What a worker did, and why it stopped. `Display` is a few lines for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Why it stopped.
    pub stopped: StopReason,
    /// How long it ran.
    pub elapsed: Duration,
    /// For how long gates held it back ([`Worker::gate`](super::Worker::gate)): the time in which at least one of its loops waited.
    pub held: Duration,
    /// How often what happened.
    pub counts: Counts,
}

/// How often what happened to deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Handlers that ran to their end, panics included.
    pub handled: u64,
    /// Deliveries acked.
    pub acked: u64,
    /// Deliveries retried: a copy is with the broker.
    pub retried: u64,
    /// Deliveries put back at once.
    pub requeued: u64,
    /// Deliveries rejected: parked, or dropped where the queue says so.
    pub rejected: u64,
    /// Deliveries given back without an attempt, those of cancelled handlers included.
    pub released: u64,
    /// Handlers that returned an error which no layer turned into an outcome.
    pub errors: u64,
    /// Handlers that panicked; each is one of the errors too.
    pub panics: u64,
    /// Handlers cancelled by the stop deadline or a second signal.
    pub cancelled: u64,
    /// Deliveries lost to another worker, by a reconnect or an expired lease, before they were settled.
    pub lost: u64,
    /// Settlements that failed at first; each was tried again.
    pub settle_failures: u64,
    /// Temporary errors of the broker, failed tries to connect included.
    pub broker_errors: u64,
    /// How often the broker worked again after such errors.
    pub recoveries: u64,
}

/// Why a worker stopped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// A signal, by name.
    Signal(&'static str),
    /// [`WorkerHandle::stop`](super::WorkerHandle::stop) was called.
    Handle,
    /// It handled as many messages as it was told to.
    MaxMessages,
    /// It ran as long as it was told to.
    MaxTime,
    /// The process uses more memory than allowed; how many bytes.
    MaxMemory(u64),
    /// The queue was empty.
    Empty,
    /// The provider was closed by someone else.
    Closed,
    /// The broker failed for good, or for longer than allowed.
    Broker(Error),
    /// A handler failed, and the worker was told to stop then; the error in words.
    Handler(String),
}

impl Report {
    /// Whether every handler could finish.
    pub fn is_clean(&self) -> bool {
        self.counts.cancelled == 0
    }
}

impl StopReason {
    /// Whether the worker ends in an error for it.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Broker(_) | Self::Handler(_))
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Handle => f.write_str("it was told to"),
            Self::MaxMessages => f.write_str("the number of messages was reached"),
            Self::MaxTime => f.write_str("the time was up"),
            Self::MaxMemory(bytes) => write!(f, "the process uses {} MiB", bytes >> 20),
            Self::Empty => f.write_str("the queue is empty"),
            Self::Closed => f.write_str("the provider was closed"),
            Self::Broker(error) => write!(f, "the broker failed: {error}"),
            Self::Handler(error) => write!(f, "a handler failed: {error}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        writeln!(f, "stopped after {:.1?}: {}", self.elapsed, self.stopped)?;
        let rows = [
            ("handled", c.handled),
            ("acked", c.acked),
            ("retried later", c.retried),
            ("requeued", c.requeued),
            ("rejected", c.rejected),
            ("given back", c.released),
            ("failed for good", c.errors),
            ("panics", c.panics),
            ("cancelled", c.cancelled),
            ("lost to others", c.lost),
            ("settled late", c.settle_failures),
            ("broker errors", c.broker_errors),
            ("recoveries", c.recoveries),
        ];
        // The first two always, the rest where there is something to say.
        let shown = rows.into_iter().enumerate().filter(|(i, (_, n))| *i < 2 || *n > 0);
        let mut lines: Vec<_> = shown.map(|(_, (what, n))| format!("  {what:<16}{n:>8}")).collect();
        if self.held >= Duration::from_millis(1) {
            lines.push(format!("  {:<16}{:>8}", "held back", format!("{:.1?}", self.held)));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// A worker that ended because something failed for good.
#[derive(Debug)]
pub struct WorkerError {
    report: Option<Box<Report>>,
    source: BoxError,
}

impl WorkerError {
    /// It could not start.
    pub(super) fn start(error: Error) -> Self {
        Self { report: None, source: error.into() }
    }

    /// It ran, and ended with this.
    pub(super) fn end(report: Report, source: impl Into<BoxError>) -> Self {
        Self { report: Some(Box::new(report)), source: source.into() }
    }

    /// What it did until then; `None` if it never started.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_deref()
    }

    /// The broker's error, if it was one.
    pub fn broker_error(&self) -> Option<&Error> {
        self.source.downcast_ref()
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.report {
            None => "the worker did not start",
            Some(report) if matches!(report.stopped, StopReason::Broker(_)) => "the worker stopped: the broker failed",
            Some(report) if matches!(report.stopped, StopReason::Handler(_)) => "the worker stopped: a handler failed",
            Some(_) => "the worker stopped",
        })
    }
}

impl std::error::Error for WorkerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
