//! What became of the messages of a queue.

use serde_json::json;
use swarrot::{Delivery, Error};

use crate::exit::Exit;
use crate::failure::{Failure, Result, one_line_of};
use crate::output::{count, note};
use crate::progress::Progress;
use crate::session::Session;

/// Failures that are told; the others are counted.
const TOLD: u64 = 20;

/// What became of the messages of a queue.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Looked at, and not meant.
    pub(crate) kept: u64,
    /// Too many are held to look at these, or others hold them.
    pub(crate) not_looked_at: u64,
    /// Ids that were asked for and not found.
    pub(crate) missing: Vec<String>,
    /// Why it ended early.
    pub(crate) broke: Option<Error>,
}

impl Tally {
    pub(super) fn add(&mut self, meant: &[Delivery], results: Vec<Result<(), Error>>, progress: &Progress) {
        for (delivery, result) in meant.iter().zip(results) {
            match result {
                Ok(()) => self.done += 1,
                Err(error) => {
                    self.failed += 1;
                    if self.failed <= TOLD {
                        progress.line(&format!("swarrot: {:?} stays: {}", delivery.id(), one_line_of(&error)));
                    }
                }
            }
        }
    }

    /// Takes in how a step of the whole ended; the first error counts.
    pub(crate) fn also(&mut self, step: Result<(), Error>) {
        if let Err(error) = step {
            self.broke.get_or_insert(error);
        }
    }

    /// Tells it; `done` is the word for what was done, such as `moved`.
    ///
    /// # Errors
    /// If nothing of what was asked for is there, nothing was done before the broker failed, or the output is closed.
    pub(crate) fn end(self, done: &str, queue: &str, session: &Session) -> Result<Exit> {
        // Where the broker failed they may be there.
        if !self.missing.is_empty() && self.broke.is_none() {
            let line =
                format!("no message with the id {} in {queue:?}; `dead list` shows them", self.missing.join(", "));
            if self.done + self.failed == 0 {
                return Err(Failure::new(line));
            }
            note(format_args!("swarrot: {line}"));
        }
        // Where a signal stopped it nobody expects all of them.
        let stopped = session.stop.is_asked();
        let not_seen = if stopped { 0 } else { self.not_looked_at };
        let document = json!({
            "queue": queue, done: self.done, "failed": self.failed, "kept": self.kept, "not_seen": not_seen,
        });
        session.output.print(&document, || {
            let mut text = format!("{done} {}", count(self.done, "message"));
            for (n, what) in [(self.failed, "failed"), (self.kept, "left there")] {
                if n > 0 {
                    text.extend([", ", &n.to_string(), " ", what]);
                }
            }
            text
        })?;
        if let Some(error) = self.broke {
            if self.done == 0 {
                return Err(error.into());
            }
            note(format_args!("swarrot: {}; run it again for the others", one_line_of(&error)));
            return Ok(Exit::Partly);
        }
        super::say_not_seen(not_seen);
        Ok(match (self.failed, self.done) {
            (0, _) if stopped => Exit::Signal,
            (0, _) if self.missing.is_empty() && not_seen == 0 => Exit::Done,
            (1.., 0) => Exit::Failure,
            _ => Exit::Partly,
        })
    }
}
