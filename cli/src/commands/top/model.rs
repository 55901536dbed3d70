//! What is shown.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;
use swarrot::QueueStats;

use super::actions::{Action, Outcome};
use super::workers::InFlight;

/// Looks that are kept for the lines of history.
const HISTORY: usize = 120;

/// What one look saw: of each queue, in order, its numbers or why there are none; and of each worker.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) queues: Vec<Result<QueueStats, String>>,
    pub(super) workers: Vec<Result<Vec<InFlight>, String>>,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) broker: String,
    pub(super) queues: Vec<QueueRow>,
    pub(super) workers: Vec<Result<Vec<InFlight>, String>>,
    pub(super) chosen: usize,
    pub(super) over: Over,
    /// A line at the bottom.
    pub(super) note: String,
    /// The note says why.
    look_failed: bool,
    last: Option<Instant>,
}

/// A queue with its past.
#[derive(Debug, Default, Serialize)]
pub(super) struct QueueRow {
    pub(super) queue: String,
    pub(super) ready: u64,
    pub(super) unsettled: Option<u64>,
    pub(super) delayed: Option<u64>,
    pub(super) dead: Option<u64>,
    pub(super) providers: Option<u64>,
    /// How fast the number of those that are ready grows, in messages a second.
    pub(super) change_per_second: f64,
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) history: VecDeque<u64>,
}

/// What lies over the tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    /// Something to read.
    Text {
        title: String,
        text: String,
        scroll: u16,
    },
    /// A question; yes does it.
    Question {
        text: String,
        action: Action,
    },
}

impl Model {
    pub(super) fn new(broker: String, queues: Vec<String>) -> Self {
        let queues = queues.into_iter().map(|queue| QueueRow { queue, ..QueueRow::default() }).collect();
        let (workers, note) = (Vec::new(), String::new());
        Self { broker, queues, workers, chosen: 0, over: Over::Nothing, note, look_failed: false, last: None }
    }

    /// Takes in what a look saw.
    pub(super) fn saw(&mut self, seen: Seen) {
        let passed = self.last.map(|last| seen.at.duration_since(last).as_secs_f64()).filter(|passed| *passed > 0.0);
        self.last = Some(seen.at);
        for (row, stats) in self.queues.iter_mut().zip(seen.queues) {
            row.saw(stats, passed);
        }
        self.workers = seen.workers;
        if std::mem::take(&mut self.look_failed) {
            self.note.clear();
        }
    }

    /// A look failed.
    pub(super) fn failed(&mut self, line: &str) {
        self.note = format!("! {line}");
        self.look_failed = true;
    }

    /// The queue that is chosen.
    pub(super) fn queue(&self) -> Option<&QueueRow> {
        self.queues.get(self.chosen)
    }

    /// An action runs now.
    pub(super) fn begins(&mut self, action: &Action) {
        self.over = Over::Nothing;
        self.note = format!("{} …", action.words());
        self.look_failed = false;
    }

    /// What an action came to.
    pub(super) fn show(&mut self, outcome: Outcome) {
        self.look_failed = false;
        match outcome {
            Outcome::Note(line) => self.note = line,
            Outcome::Text { title, text } => {
                self.note.clear();
                self.over = Over::Text { title, text, scroll: 0 };
            }
        }
    }
}

impl QueueRow {
    fn saw(&mut self, stats: Result<QueueStats, String>, passed: Option<f64>) {
        let stats = match stats {
            Ok(stats) => stats,
            Err(line) => {
                self.error = Some(line);
                return;
            }
        };
        self.error = None;
        self.change_per_second = passed.map_or(0.0, |passed| difference(self.ready, stats.ready) / passed);
        self.ready = stats.ready;
        self.unsettled = stats.unsettled;
        self.delayed = stats.delayed;
        self.dead = stats.parked;
        self.providers = stats.providers;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(stats.ready);
    }
}

#[expect(clippy::cast_precision_loss, reason = "to be shown with one digit")]
fn difference(before: u64, after: u64) -> f64 {
    after as f64 - before as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_and_errors() {
        let mut model = Model::new("amqp://h".to_owned(), vec!["q".to_owned()]);
        let began = Instant::now();
        let seen = |after, ready| {
            let mut stats = QueueStats::default();
            stats.ready = ready;
            Seen { at: began + Duration::from_secs(after), queues: vec![Ok(stats)], workers: Vec::new() }
        };
        model.saw(seen(0, 10));
        assert_eq!(model.queues[0].change_per_second.to_bits(), 0.0_f64.to_bits(), "nothing to compare with yet");
        model.saw(seen(2, 4));
        assert_eq!(model.queues[0].change_per_second.to_bits(), (-3.0_f64).to_bits());
        let lost =
            Seen { at: began + Duration::from_secs(3), queues: vec![Err("gone".to_owned())], workers: Vec::new() };
        model.saw(lost);
        assert_eq!((model.queues[0].ready, model.queues[0].error.as_deref()), (4, Some("gone")));
        for n in 0..500 {
            model.saw(seen(4 + n, n));
        }
        assert_eq!(model.queues[0].history.len(), HISTORY);
        assert_eq!(model.queues[0].error, None);
    }
}
