//! What became of all that was published.

use std::time::Instant;

use serde::Serialize;

use super::Done;
use crate::exit::Exit;
use crate::failure::{Failure, Result, one_line_of};
use crate::output::count;
use crate::progress::Progress;
use crate::session::Session;

/// Failures that are remembered for the document; all are counted and told.
const REMEMBERED: usize = 1000;

/// What became of all that was published.
#[derive(Debug)]
pub(crate) struct Tally {
    single: bool,
    began: Instant,
    published: u64,
    failed: u64,
    failures: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    line: u64,
    error: String,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    published: u64,
    failed: u64,
    elapsed_seconds: f64,
    failures: &'a [Refused],
}

impl Tally {
    pub(crate) fn new(single: bool) -> Self {
        Self { single, began: Instant::now(), published: 0, failed: 0, failures: Vec::new() }
    }

    pub(crate) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    pub(crate) fn add(&mut self, results: Vec<Done>, progress: &Progress) {
        for (line, result) in results {
            let Err(error) = result else {
                self.published += 1;
                continue;
            };
            self.failed += 1;
            let error = one_line_of(&error);
            if !self.single {
                progress.line(&format!("swarrot: line {line}: {error}"));
            }
            if self.failures.len() < REMEMBERED {
                self.failures.push(Refused { line, error });
            }
        }
    }

    /// Tells it.
    ///
    /// # Errors
    /// If the only message failed, or the output is closed.
    pub(crate) fn end(self, session: &Session) -> Result<Exit> {
        let elapsed = self.began.elapsed().as_secs_f64();
        let Self { published, failed, failures, .. } = &self;
        let document = Document { published: *published, failed: *failed, elapsed_seconds: elapsed, failures };
        session.output.print(&document, || {
            let mut text = format!("published {} in {elapsed:.1} s", count(*published, "message"));
            if *failed > 0 {
                text.extend([", ", &failed.to_string(), " failed"]);
            }
            text
        })?;
        if let (true, Some(only)) = (self.single, failures.first()) {
            return Err(Failure::new(&only.error));
        }
        Ok(match (failed, published) {
            (0, _) if session.stop.is_asked() => Exit::Signal,
            (0, _) => Exit::Done,
            (_, 0) => Exit::Failure,
            _ => Exit::Partly,
        })
    }
}
