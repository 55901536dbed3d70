//! The text of a file, and the mistakes found in it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::super::error::Problem;
use super::super::registry::Known;
use super::variables::Variables;

/// How a text is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Format {
    Toml,
    Yaml,
}

impl Format {
    /// That of a file, by its extension.
    pub(in crate::config) fn of(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default();
        let is_yaml = ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml));
        if is_yaml { Self::Yaml } else { Self::Toml }
    }
}

/// A text and where it is from.
pub(in crate::config) struct Source {
    file: Option<PathBuf>,
    format: Format,
    text: String,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    /// Where that is from which is told beside the text.
    origins: Vec<String>,
}

/// What is known while a file is read.
pub(in crate::config) struct Reading<'a> {
    pub(in crate::config) source: &'a Source,
    pub(in crate::config) variables: &'a Variables,
    pub(in crate::config) known: &'a Known,
    /// What else may be referred to by its name.
    pub(in crate::config) names: Names<'a>,
    problems: RefCell<Vec<Problem>>,
    seen: RefCell<BTreeSet<String>>,
}

/// Names that the file gives.
#[derive(Default)]
pub(in crate::config) struct Names<'a> {
    pub(in crate::config) brokers: Vec<&'a str>,
    pub(in crate::config) gates: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// Those in a file.
    pub(in crate::config) fn of(root: &'a DeValue<'a>) -> Self {
        let names = |table: &str| match root.get(table).map(toml::Spanned::get_ref) {
            Some(DeValue::Table(entries)) => entries.keys().map(|name| name.get_ref().as_ref()).collect(),
            _ => Vec::new(),
        };
        Self { brokers: names("brokers"), gates: names("gates") }
    }
}

impl<'a> Reading<'a> {
    pub(in crate::config) fn new(source: &'a Source, variables: &'a Variables, known: &'a Known) -> Self {
        Self {
            source,
            variables,
            known,
            names: Names::default(),
            problems: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// The text as a table, unless it is none; then the mistakes are noted.
    pub(in crate::config) fn parse(&self) -> Option<toml::Spanned<DeTable<'a>>> {
        match self.source.format {
            Format::Toml => self.parse_toml(),
            Format::Yaml => self.parse_yaml(),
        }
    }

    #[cfg(feature = "yaml")]
    fn parse_yaml(&self) -> Option<toml::Spanned<DeTable<'a>>> {
        super::yaml::parse(&self.source.text).map_err(|(at, message)| self.refuse(at, message)).ok()
    }

    #[cfg(not(feature = "yaml"))]
    fn parse_yaml(&self) -> Option<toml::Spanned<DeTable<'a>>> {
        let what = "YAML needs the feature \"yaml\"; add it to swarrot's features in Cargo.toml, or write TOML";
        self.refuse(0..0, what);
        None
    }

    /// All mistakes are noted, one for each line.
    fn parse_toml(&self) -> Option<toml::Spanned<DeTable<'a>>> {
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
    /// Without the mark that some editors put before a text.
    pub(in crate::config) fn new(file: Option<PathBuf>, format: Format, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, format, text, lines, origins: Vec::new() }
    }

    /// Notes where what is told beside it is from.
    pub(in crate::config) fn with_origins(mut self, origins: Vec<String>) -> Self {
        self.origins = origins;
        self
    }

    /// The place of what is told beside the text, by the index of its origin: behind the end.
    pub(in crate::config) fn beside(&self, index: usize) -> Range<usize> {
        let at = self.text.len() + 1 + index;
        at..at
    }

    /// Where that is from which has this place, if it is told beside the text.
    pub(super) fn origin(&self, at: &Range<usize>) -> Option<&str> {
        let index = at.start.checked_sub(self.text.len() + 1)?;
        self.origins.get(index).map(String::as_str)
    }

    fn problem(&self, at: Range<usize>, message: String) -> Problem {
        if let Some(origin) = self.origin(&at) {
            let message = if message.starts_with(origin) { message } else { format!("{origin}: {message}") };
            return Problem { file: None, line: 0, column: 0, message };
        }
        let line = self.lines.partition_point(|start| *start <= at.start);
        let before = self.text.get(self.lines[line - 1]..at.start).unwrap_or_default();
        Problem { file: self.file.clone(), line, column: before.chars().count() + 1, message }
    }
}

/// The parser's words in one line. They are its own alone, with nothing of the text.
fn syntax(message: &str) -> String {
    format!("not TOML: {}", message.replace('\n', " "))
}
