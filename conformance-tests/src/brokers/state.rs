//! The small file in a broker's folder that says how to reach it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::BrokerError;

/// What one process writes into the broker's folder, so that others can reach the broker: `name=number` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State(BTreeMap<String, u16>);

impl State {
    pub(super) fn set(&mut self, name: &str, port: u16) {
        self.0.insert(name.to_owned(), port);
    }

    pub(super) fn get(&self, name: &str) -> Option<u16> {
        self.0.get(name).copied()
    }

    /// `None` if no broker was ever started there.
    pub(super) fn load(dir: &Path, broker: &str) -> Option<Self> {
        let text = fs::read_to_string(file(dir, broker)).ok()?;
        let line =
            |line: &str| line.split_once('=').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
        Some(Self(text.lines().filter_map(line).collect()))
    }

    pub(super) fn save(&self, dir: &Path, broker: &str) -> Result<(), BrokerError> {
        let lines: Vec<String> = self.0.iter().map(|(name, port)| format!("{name}={port}\n")).collect();
        let (file, new) = (file(dir, broker), dir.join("state.new"));
        // By renaming, so that whoever reads it never sees half of it.
        fs::write(&new, lines.concat())
            .and_then(|()| fs::rename(&new, &file))
            .map_err(BrokerError::io(format!("write {}", file.display())))
    }
}

fn file(dir: &Path, broker: &str) -> PathBuf {
    dir.join(broker).with_extension("state")
}
