//! What a supervisor's workers did.

use std::fmt;
use std::time::Duration;

use super::shared::Life;
use crate::error::{BoxError, Error};
use crate::worker::{Counts, StopReason};

/// What a supervisor's workers did, all runs together. `Display` is a table for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisorReport {
    /// What stopped all workers; `None` if each of them ended by itself, or the supervisor gave up.
    pub stopped: Option<StopReason>,
    /// How long it ran.
    pub elapsed: Duration,
    /// Each worker, in the order in which they were added.
    pub workers: Vec<SupervisedReport>,
}

/// What one worker of a supervisor did, all runs together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisedReport {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How often it failed, or could not be made.
    pub failures: u64,
    /// How often what happened to deliveries.
    pub counts: Counts,
    /// For how long gates held it back.
    pub held: Duration,
    /// Why its last run stopped; `None` if it failed, or never ran.
    pub stopped: Option<StopReason>,
    /// Its last error, with the sources.
    pub last_error: Option<String>,
}

impl SupervisorReport {
    /// What all workers did together.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.workers.iter().for_each(|worker| sum += worker.counts);
        sum
    }

    /// Whether every handler could finish that ran when a worker was stopped.
    pub fn is_clean(&self) -> bool {
        self.counts().cancelled == 0
    }
}

impl SupervisedReport {
    pub(super) fn new(name: &str, life: Life) -> Self {
        let Life { runs, failures, counts, held, stopped, last_error, .. } = life;
        Self { name: name.to_owned(), runs, failures, counts, held, stopped, last_error }
    }
}

type Column = (&'static str, fn(&Counts) -> u64);

/// The first two always, the rest where there is something to say.
const COLUMNS: [Column; 9] = [
    ("handled", |c| c.handled),
    ("acked", |c| c.acked),
    ("retried", |c| c.retried),
    ("requeued", |c| c.requeued),
    ("rejected", |c| c.rejected),
    ("given back", |c| c.released),
    ("errors", |c| c.errors),
    ("cancelled", |c| c.cancelled),
    ("lost", |c| c.lost),
];

impl fmt::Display for SupervisorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.counts();
        match &self.stopped {
            Some(reason) => writeln!(f, "stopped after {:.1?}: {reason}", self.elapsed)?,
            None => writeln!(f, "all workers ended after {:.1?}", self.elapsed)?,
        }
        let columns: Vec<_> =
            COLUMNS.iter().enumerate().filter(|(i, (_, n))| *i < 2 || n(&sum) > 0).map(|(_, column)| column).collect();
        let width =
            self.workers.iter().map(|worker| worker.name.chars().count()).max().unwrap_or(0).max("worker".len());
        write!(f, "  {:<width$} {:>6}", "worker", "runs")?;
        for (title, _) in &columns {
            write!(f, " {title:>10}")?;
        }
        let runs = self.workers.iter().map(|worker| worker.runs).sum();
        let rows = self.workers.iter().map(|worker| (worker.name.as_str(), worker.runs, &worker.counts));
        for (name, runs, counts) in rows.chain([("all", runs, &sum)]) {
            write!(f, "\n  {name:<width$} {runs:>6}")?;
            for (_, number) in &columns {
                write!(f, " {:>10}", number(counts))?;
            }
        }
        for worker in &self.workers {
            if let Some(error) = &worker.last_error {
                let times = if worker.failures == 1 { "once" } else { "times, the last time" };
                let number = if worker.failures == 1 { String::new() } else { format!("{} ", worker.failures) };
                write!(f, "\n{} failed {number}{times}: {error}", worker.name)?;
            }
        }
        for worker in self.workers.iter().filter(|worker| worker.held >= Duration::from_millis(1)) {
            write!(f, "\n{} was held back for {:.1?}", worker.name, worker.held)?;
        }
        Ok(())
    }
}

/// A supervisor that gave up.
#[derive(Debug)]
pub struct SupervisorError {
    report: Option<Box<SupervisorReport>>,
    worker: Option<String>,
    source: BoxError,
}

impl SupervisorError {
    pub(super) fn start(error: Error) -> Self {
        Self { report: None, worker: None, source: error.into() }
    }

    pub(super) fn gave_up(report: SupervisorReport, worker: String, source: BoxError) -> Self {
        Self { report: Some(Box::new(report)), worker: Some(worker), source }
    }

    /// What its workers did until then; `None` if it never started.
    pub fn report(&self) -> Option<&SupervisorReport> {
        self.report.as_deref()
    }

    /// The worker that failed once too often.
    pub fn worker(&self) -> Option<&str> {
        self.worker.as_deref()
    }
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.worker {
            None => f.write_str("the supervisor did not start"),
            Some(worker) => write!(f, "workers failed too often; the last was {worker:?}"),
        }
    }
}

impl std::error::Error for SupervisorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
