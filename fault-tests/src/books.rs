//! All ledgers together, read while they grow.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::ledger::Deed;
use crate::load::Kind;

/// What the ledgers say so far.
#[derive(Debug, Default)]
pub(crate) struct Books {
    ledgers: Vec<Open>,
    messages: HashMap<String, Record>,
    /// When messages were confirmed.
    pub(crate) confirmed_at: Vec<u64>,
    /// When handlers came to an end, in whatever way.
    pub(crate) handled_at: Vec<u64>,
    /// When the message was sent that was sent last of those that were handled.
    pub(crate) newest_handled: u64,
}

/// What is known of one message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) sent: Option<u64>,
    pub(crate) confirmed: Option<u64>,
    pub(crate) done: u32,
    pub(crate) failed: u32,
    pub(crate) gave_up: u32,
    pub(crate) crashed: u32,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    read: u64,
}

impl Books {
    /// Reads this ledger too, once it is there.
    pub(crate) fn add(&mut self, path: PathBuf) {
        self.ledgers.push(Open { path, read: 0 });
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// If a ledger cannot be read or holds what no process of ours writes.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        for ledger in &mut self.ledgers {
            let failed = || format!("cannot read {}", ledger.path.display());
            // A process that has only just started has none yet.
            let Ok(mut file) = File::open(&ledger.path) else { continue };
            let mut text = String::new();
            file.seek(SeekFrom::Start(ledger.read)).with_context(failed)?;
            file.read_to_string(&mut text).with_context(failed)?;
            // A line without an end is being written, or was when its process was killed: it does not count.
            let complete = text.rfind('\n').map_or(0, |end| end + 1);
            ledger.read += complete as u64;
            for line in text[..complete].lines() {
                lines.push(parse(line).with_context(failed)?);
            }
        }
        lines.sort_by_key(|(at, ..)| *at);
        for (at, deed, id) in lines {
            self.enter(at, deed, id);
        }
        Ok(())
    }

    /// Notes one deed.
    pub(crate) fn enter(&mut self, at: u64, deed: Deed, id: String) {
        let record = self.messages.entry(id).or_default();
        match deed {
            Deed::Sent => {
                record.sent.get_or_insert(at);
                return;
            }
            Deed::Confirmed => {
                record.confirmed.get_or_insert(at);
                self.confirmed_at.push(at);
                return;
            }
            Deed::Done => record.done += 1,
            Deed::Failed => record.failed += 1,
            Deed::GaveUp => record.gave_up += 1,
            Deed::Crashed => record.crashed += 1,
        }
        self.newest_handled = self.newest_handled.max(record.sent.unwrap_or(0));
        self.handled_at.push(at);
    }

    /// Every message with its kind.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&str, Kind, &Record)> {
        self.messages.iter().map(|(id, record)| (id.as_str(), Kind::of(id).unwrap_or(Kind::Plain), record))
    }

    /// How many messages are confirmed, and their handlers have not yet done all that they will.
    pub(crate) fn outstanding(&self) -> usize {
        let waits = |(_, kind, record): &(&str, Kind, &Record)| record.confirmed.is_some() && !record.is_over(*kind);
        self.messages().filter(waits).count()
    }

    /// Whether a message that fails first has been handled in the end.
    pub(crate) fn some_retry_is_done(&self) -> bool {
        self.messages().any(|(_, kind, record)| kind == Kind::Twice && record.done > 0)
    }
}

impl Record {
    /// Whether handlers have done all that they will. A message that ends its process comes again until it is parked,
    /// which no handler sees.
    pub(crate) fn is_over(&self, kind: Kind) -> bool {
        match kind {
            Kind::Plain | Kind::Twice => self.done > 0,
            Kind::Hopeless => self.gave_up > 0,
            Kind::Poison => true,
        }
    }
}

fn parse(line: &str) -> Result<(u64, Deed, String)> {
    let mut words = line.split(' ');
    let mut word = || words.next().with_context(|| format!("the line {line:?} is too short"));
    let (at, deed, id) = (word()?, word()?, word()?);
    Ok((at.parse().with_context(|| format!("{at:?} is no time"))?, deed.parse()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn half_a_line_does_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger");
        let mut file = File::create(&path).expect("a file");
        let mut books = Books::default();
        books.add(path);
        file.write_all(b"1 sent a.k\n2 confirmed a.k\n3 do").expect("written");
        books.refresh().expect("read");
        assert_eq!((books.confirmed_at.len(), books.outstanding()), (1, 1));
        file.write_all(b"ne a.k\n").expect("written");
        books.refresh().expect("read");
        assert_eq!((books.outstanding(), books.newest_handled), (0, 1));
    }

    #[test]
    fn what_nobody_writes_is_an_error() {
        for line in ["1 sent", "x sent a.k", "1 eaten a.k"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
