//! What is wrong with a file.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use swarrot_core::{Error, ErrorKind};

/// All that is wrong with a configuration. `Display` is one line for each mistake, in the order of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        // One wrong variable may be met twice.
        problems.dedup();
        Self(problems)
    }

    /// Each mistake, in the order of the file; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_break = if index > 0 { "\n" } else { "" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

/// As `Display`, since that is what a program prints whose `main` ends in it.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let first = error.0.first().map(ToString::to_string).unwrap_or_default();
        let more = match error.0.len() {
            0 | 1 => String::new(),
            2 => "; and 1 more mistake".to_owned(),
            length => format!("; and {} more mistakes", length - 1),
        };
        Self::new(ErrorKind::InvalidInput, format!("{first}{more}")).with_operation("configure").with_source(error)
    }
}

/// One mistake: where it is, what is wrong and what to do. `Display` is one line, `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file; `None` for a text that is from no file.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 if the whole file is concerned.
    pub line: usize,
    /// The column in characters, from 1; 0 if the whole file is concerned.
    pub column: usize,
    /// What is wrong and what to do, without the place. Neither values of variables nor credentials are part of it.
    pub message: String,
}

impl Problem {
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line: 0, column: 0, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, self.column) {
            (None, 0, _) => {}
            (None, line, column) => write!(f, "line {line}, column {column}: ")?,
            (Some(file), 0, _) => write!(f, "{}: ", file.display())?,
            (Some(file), line, column) => write!(f, "{}:{line}:{column}: ", file.display())?,
        }
        f.write_str(&self.message)
    }
}
