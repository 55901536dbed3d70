//! The text of a file, and the mistakes found in it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeTable;

use super::super::error::Problem;
use super::super::layers::Layers;
use super::variables::Variables;

/// A text and where it is from.
pub(in crate::config) struct Source {
    pub(in crate::config) file: Option<PathBuf>,
    pub(in crate::config) text: String,
}

/// What is known while a file is read.
pub(in crate::config) struct Reading<'a> {
    pub(in crate::config) source: &'a Source,
    pub(in crate::config) variables: &'a Variables,
    pub(in crate::config) layers: &'a Layers,
    /// The names of all brokers.
    pub(in crate::config) brokers: Vec<&'a str>,
    problems: RefCell<Vec<Problem>>,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Reading<'a> {
    pub(in crate::config) fn new(source: &'a Source, variables: &'a Variables, layers: &'a Layers) -> Self {
        Self { source, variables, layers, brokers: Vec::new(), problems: RefCell::default(), seen: RefCell::default() }
    }

    /// The text as TOML, unless it is none; then all mistakes are noted, one for each line.
    pub(in crate::config) fn parse(&self) -> Option<toml::Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(&self.source.text);
        let mut last_line = 0;
        for error in &errors {
            let problem = self.source.problem(error.span().unwrap_or(0..0), syntax(error.message()));
            // What follows in a line is most often no mistake of its own.
            if problem.line != last_line {
                last_line = problem.line;
                self.problems.borrow_mut().push(problem);
            }
        }
        errors.is_empty().then_some(table)
    }

    /// Notes a mistake.
    pub(in crate::config) fn refuse(&self, at: Range<usize>, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.source.problem(at, message.into()));
    }

    /// Notes that this key is there.
    pub(super) fn see(&self, options: &str, key: &str) {
        self.seen.borrow_mut().insert(format!("{options}.{key}"));
    }

    pub(in crate::config) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        (self.problems.into_inner(), self.seen.into_inner())
    }
}

impl Source {
    fn problem(&self, at: Range<usize>, message: String) -> Problem {
        let mut start = at.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |line_break| line_break + 1);
        Problem {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

/// The parser's words in one line. They are its own alone, with nothing of the text.
fn syntax(message: &str) -> String {
    format!("not TOML: {}", message.replace('\n', " "))
}
