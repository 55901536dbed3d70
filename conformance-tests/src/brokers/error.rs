//! What can go wrong with a broker of one's own.

use std::io;
use std::path::Path;

/// Why a broker could not be started, reached or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A program is not installed.
    #[error("{program} is not installed: run `{install}`, or `cargo xtask test`, which installs it")]
    Missing {
        /// The program.
        program: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// The folder has no broker, or one that runs already.
    #[error("{folder}: {what}")]
    Folder {
        /// The broker's folder.
        folder: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The broker ended, or did not answer in time, after it was started.
    #[error("{broker} {what}; its log says: {log}")]
    NotReady {
        /// The broker.
        broker: &'static str,
        /// What happened.
        what: String,
        /// What its log complains of.
        log: String,
    },
    /// A process is still there after `kill -9`.
    #[error("process {0} does not end")]
    Unkillable(i32),
    /// A command of the broker's own tool failed.
    #[error("`rabbitmqctl {command}` failed: {output}")]
    Ctl {
        /// The command.
        command: String,
        /// What it said.
        output: String,
    },
    /// The operating system refused something.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

impl BrokerError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(super) fn folder(folder: &Path, what: &'static str) -> Self {
        Self::Folder { folder: folder.display().to_string(), what }
    }
}
