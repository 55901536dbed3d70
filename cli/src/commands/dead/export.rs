//! `swarrot dead export`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::message::{Document, Filter};
use crate::output::{count, note};
use crate::session::Session;
use crate::sweeping::{Choice, look, say_not_seen};

/// Writes dead letters as JSON, an object a line, and leaves them where they are
///
/// `dead import` reads them again. If some were not seen, since others hold them or they are too many, it says so, and ends with
/// the exit code 5: what was written is no copy of all.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    queue: String,
    /// Where to; stdout, unless told. An existing file is not overwritten
    file: Option<PathBuf>,
    /// Only those for which this holds; may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    filters: Vec<Filter>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit> {
    let (dead, _) = super::both(&args.queue);
    let broker = session.connect().await?;
    let mut file = match &args.file {
        None => None,
        Some(path) => Some(BufWriter::new(
            File::create_new(path)
                .map_err(|error| Failure::new(format!("cannot make the file {}: {error}", path.display())))?,
        )),
    };
    let mut choice = Choice::by(&args.filters);
    let mut written = 0;
    let not_seen = look(&*broker, &dead, None, session, |message| {
        if !choice.take(message) {
            return Ok(true);
        }
        written += 1;
        let line = serde_json::to_string(&Document::of_message(&dead, message))
            .map_err(|error| Failure::new(format!("no JSON: {error}")))?;
        match &mut file {
            Some(file) => writeln!(file, "{line}")?,
            None => session.output.raw(format!("{line}\n").as_bytes())?,
        }
        Ok(true)
    })
    .await?;
    if let Some(file) = file {
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        // It may be meant as a copy before they are dropped.
        file.sync_all()?;
        note(format_args!("exported {}", count(written, "message")));
    }
    broker.close().await?;
    say_not_seen(not_seen);
    Ok(if not_seen == 0 { Exit::Done } else { Exit::Partly })
}
