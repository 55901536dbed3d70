//! `swarrot dead import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use serde_json::json;
use swarrot::{MessagePublisher, Outgoing, PublisherOptions};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::Document;
use crate::output::{count, note};
use crate::session::Session;

/// Messages published together.
const BATCH: usize = 256;

/// Puts dead letters that were exported back among the dead letters
///
/// They are as they were, with their ids, headers and history. A line that is wrong, or a message that is refused, ends it, and
/// so does a signal: it says which lines failed and up to which line all others are done.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    /// Where from; stdin, unless told
    file: Option<PathBuf>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, _) = super::both(&args.queue);
    let input: Box<dyn BufRead> = match &args.file {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let file = File::open(path);
            let failed = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
            Box::new(BufReader::new(file.map_err(failed)?))
        }
    };
    let broker = session.connect().await?;
    broker.stats(&dead).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let mut done = Done::default();
    let mut batch = Vec::new();
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line.map_err(|error| Failure::new(format!("line {number} cannot be read: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(message) => batch.push((number, Outgoing::copy(&dead, message))),
            Err(error) => {
                done.publish(&*publisher, &mut batch).await?;
                return Err(Failure::new(format!("line {number}: {error}; {}", done.so_far())));
            }
        }
        let stopped = session.stop.is_asked();
        if batch.len() == BATCH || stopped {
            done.publish(&*publisher, &mut batch).await?;
        }
        if stopped {
            break;
        }
    }
    done.publish(&*publisher, &mut batch).await?;
    publisher.close().await?;
    broker.close().await?;
    session.output.print(&json!({ "queue": dead, "imported": done.imported, "last_line": done.line }), || {
        format!("imported {}", count(done.imported, "message"))
    })?;
    if session.stop.is_asked() {
        note(format_args!("swarrot: stopped by a signal; {}", done.so_far()));
        return Ok(Exit::Signal);
    }
    Ok(Exit::Done)
}

/// What was imported.
#[derive(Debug, Default)]
struct Done {
    imported: u64,
    /// The last line of those that were tried.
    line: u64,
}

impl Done {
    /// Publishes what waits.
    ///
    /// # Errors
    /// If some were refused, once all were tried: to begin anew at the first of them would make others twice.
    async fn publish(&mut self, publisher: &dyn MessagePublisher, batch: &mut Vec<(u64, Outgoing)>) -> Result<()> {
        let (numbers, messages): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let mut refused = Vec::new();
        for (number, result) in numbers.into_iter().zip(publisher.publish(&messages).await) {
            self.line = number;
            match result {
                Ok(()) => self.imported += 1,
                Err(error) => refused.push((number, crate::failure::one_line_of(&error))),
            }
        }
        let Some(((number, error), others)) = refused.split_first() else { return Ok(()) };
        let mut text = format!("line {number}: {error}");
        if !others.is_empty() {
            let numbers: Vec<_> = others.iter().map(|(number, _)| number.to_string()).collect();
            text.extend(["; refused were the lines ", &numbers.join(", "), " too"]);
        }
        Err(Failure::new(format!("{text}; {}", self.so_far())))
    }

    fn so_far(&self) -> String {
        format!("{} imported, up to line {}", count(self.imported, "message"), self.line)
    }
}

fn parse(line: &str) -> Result<swarrot::Message, String> {
    serde_json::from_str::<Document>(line).map_err(|error| error.to_string())?.into_message()
}
