//! `swarrot dead import`.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde_json::json;
use swarrot::{Message, MessagePublisher, Outgoing, PublisherOptions};
use tokio::sync::mpsc::{self, Receiver};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::lines;
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
    let input: Box<dyn io::Read + Send> = match &args.file {
        None => Box::new(io::stdin()),
        Some(path) => {
            let file = File::open(path);
            let failed = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
            Box::new(file.map_err(failed)?)
        }
    };
    let broker = session.connect().await?;
    broker.stats(&dead).await?;
    let publisher = broker.publisher("", PublisherOptions::default()).await?;
    let mut done = Done::default();
    let mut items = read(input);
    loop {
        let mut ready = Vec::new();
        tokio::select! {
            _ = items.recv_many(&mut ready, BATCH) => {}
            () = session.stop.asked() => break,
        }
        if ready.is_empty() {
            break;
        }
        done.import(ready, &*publisher, &dead).await?;
    }
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
    /// Imports these, up to the first one that is wrong.
    ///
    /// # Errors
    /// If one is wrong or some were refused, with all that was done before.
    async fn import(&mut self, items: Vec<Item>, publisher: &dyn MessagePublisher, dead: &str) -> Result<()> {
        let mut batch = Vec::new();
        let mut wrong = None;
        for (number, message) in items {
            match message {
                Ok(message) => batch.push((number, Outgoing::copy(dead, message))),
                Err(error) => {
                    wrong = Some((number, error));
                    break;
                }
            }
        }
        self.publish(publisher, batch).await?;
        match wrong {
            Some((number, error)) => Err(Failure::new(format!("line {number}: {error}; {}", self.so_far()))),
            None => Ok(()),
        }
    }

    /// Publishes these.
    ///
    /// # Errors
    /// If some were refused, once all were tried: to begin anew at the first of them would make others twice.
    async fn publish(&mut self, publisher: &dyn MessagePublisher, batch: Vec<(u64, Outgoing)>) -> Result<()> {
        let (numbers, messages): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
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

/// The number of a line, and its message, or why there is none.
type Item = (u64, Result<Message, String>);

/// Messages from a thread that reads: reading cannot be ended, so that it ends with the process.
fn read(input: impl io::Read + Send + 'static) -> Receiver<Item> {
    let (sender, receiver) = mpsc::channel(2 * BATCH);
    std::thread::spawn(move || {
        lines::read(input, |line, text| match text {
            Ok(text) if text.iter().all(u8::is_ascii_whitespace) => true,
            text => sender.blocking_send((line, text.and_then(|text| parse(&text)))).is_ok(),
        });
    });
    receiver
}

fn parse(line: &[u8]) -> Result<Message, String> {
    serde_json::from_slice::<Document>(line).map_err(|error| error.to_string())?.into_message()
}
