//! How to start a broker.

use std::path::PathBuf;

/// How to start a broker: by default in a folder that is deleted with it, to be ended with its handle.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Start {
    pub(super) dir: Option<PathBuf>,
    pub(super) config: Vec<String>,
    pub(super) advanced: Vec<String>,
}

impl Start {
    /// In a temporary folder, ended and deleted with the handle.
    pub fn new() -> Self {
        Self::default()
    }

    /// In this folder, which is kept; a broker that ran there before goes on with its data.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds a line to its configuration, in the broker's own syntax.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Adds an Erlang term to RabbitMQ's `advanced.config`, such as `{rabbit, [{name, 1}]}`; other brokers have no such file.
    pub fn advanced(mut self, term: impl Into<String>) -> Self {
        self.advanced.push(term.into());
        self
    }
}
