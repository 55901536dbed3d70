//! Exit codes.

use std::process::ExitCode;

/// How a command ended. Scripts and supervisors act upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// It failed.
    Failure,
    /// The arguments, or what they name, make no sense.
    Usage,
    /// A limit on messages, time or memory was reached.
    Limit,
    /// A signal stopped it; what it had begun is finished.
    Signal,
    /// Some of it was done, and some failed.
    Partly,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Limit => 3,
            Self::Signal => 4,
            Self::Partly => 5,
        }
    }
}

/// For the help.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed; one line on stderr says what, and what to do
  2  the arguments or the URL make no sense
  3  a limit on messages, time or memory was reached
  4  a signal stopped it, in good order
  5  some of it was done, and some failed

The broker's URL is given by --url or, so that its password is in no list of processes, by the variable SWARROT_URL.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
