//! Why a command ended early, in one line.

use std::error::Error as StdError;
use std::io;

use swarrot::config::ConfigError;
use swarrot::{Error, ErrorKind, Reason, SettleError, WorkerError};

use crate::exit::Exit;
use crate::output::note;

/// Why a command ended early: an exit code, and one line for stderr that says what failed and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// `None`: whoever reads the output has gone, and needs no explanation.
    line: Option<String>,
}

/// The result of a command, or of a part of one.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, line: Some(line.into()) }
    }

    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, line: Some(line.into()) }
    }

    /// A signal ended it before it was done.
    pub(crate) fn signal(line: impl Into<String>) -> Self {
        Self { exit: Exit::Signal, line: Some(line.into()) }
    }

    /// Of a file with mistakes, of which each has a line.
    pub(crate) fn of_file(error: &ConfigError) -> Self {
        Self::usage(error.to_string().replace('\n', "; "))
    }

    /// The line, for lists of failures.
    pub(crate) fn line(&self) -> &str {
        self.line.as_deref().unwrap_or("the output was closed")
    }

    /// Says it, and ends with its code.
    pub(crate) fn print(self) -> Exit {
        if let Some(line) = self.line {
            note(format_args!("swarrot: {}", one_line(&line)));
        }
        self.exit
    }
}

/// An error and its sources in one line, without control characters.
pub(crate) fn one_line_of(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref::<Error>() {
        Some(error) if says_all(error.kind()) => one_line(&error.to_string()),
        _ => Reason::from_error(error).as_str().to_owned(),
    }
}

/// Whether the sources of an error of this kind only say it again in the broker's words.
fn says_all(kind: ErrorKind) -> bool {
    use ErrorKind::{AccessRefused, Conflict, InvalidInput, NotFound, TooLarge, Unroutable, Unsupported};
    matches!(kind, AccessRefused | Conflict | InvalidInput | NotFound | TooLarge | Unroutable | Unsupported)
}

fn one_line(text: &str) -> String {
    Reason::new(text).as_str().to_owned()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // A URL or a name that is malformed is a mistake of whoever wrote the command.
        let exit = if error.kind() == ErrorKind::InvalidInput { Exit::Usage } else { Exit::Failure };
        Self { exit, line: Some(one_line_of(&error)) }
    }
}

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        Self::new(one_line_of(&error))
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        Self::new(one_line_of(&error))
    }
}

/// Of writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Signal, line: None },
            _ => Self::new(format!("cannot write the output: {error}")),
        }
    }
}
