//! `swarrot dead import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use serde_json::json;
use swarrot::{MessagePublisher, Outgoing, PublisherOptions};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::Document;
use crate::output::count;
use crate::session::Session;

/// Messages published together.
const BATCH: usize = 256;

/// Puts dead letters that were exported back among the dead letters
///
/// They are as they were, with their ids, headers and history. A line that is wrong ends it; the lines before it are done.
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
    let mut imported = 0;
    let mut batch = Vec::new();
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line.map_err(|error| Failure::new(format!("line {number} cannot be read: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(message) => batch.push((number, Outgoing::copy(&dead, message))),
            Err(error) => {
                publish(&*publisher, &mut batch, &mut imported).await?;
                return Err(Failure::new(format!("line {number}: {error}; {imported} were imported before it")));
            }
        }
        if batch.len() == BATCH {
            publish(&*publisher, &mut batch, &mut imported).await?;
            if session.stop.is_asked() {
                return Ok(Exit::Signal);
            }
        }
    }
    publish(&*publisher, &mut batch, &mut imported).await?;
    publisher.close().await?;
    broker.close().await?;
    session.output.print(&json!({ "queue": dead, "imported": imported }), || {
        format!("imported {}", count(imported, "message"))
    })?;
    Ok(Exit::Done)
}

fn parse(line: &str) -> Result<swarrot::Message, String> {
    serde_json::from_str::<Document>(line).map_err(|error| error.to_string())?.into_message()
}

async fn publish(publisher: &dyn MessagePublisher, batch: &mut Vec<(u64, Outgoing)>, imported: &mut u64) -> Result<()> {
    let (numbers, messages): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
    for (number, result) in numbers.into_iter().zip(publisher.publish(&messages).await) {
        match result {
            Ok(()) => *imported += 1,
            Err(error) => {
                let error = crate::failure::one_line_of(&error);
                return Err(Failure::new(format!("line {number}: {error}; {imported} were imported before it")));
            }
        }
    }
    Ok(())
}
