//! `swarrot man`.

mod markdown;

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;

/// Prints the manual page of the command, or writes those of all its commands into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to, such as /usr/local/share/man/man1
    folder: Option<PathBuf>,
    /// All of the help as one page of Markdown
    #[arg(long, conflicts_with = "folder")]
    markdown: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Exit> {
    if args.markdown {
        session.output.raw(markdown::page(Cli::command()).as_bytes())?;
    } else if let Some(folder) = &args.folder {
        let failed = |error| Failure::new(format!("cannot write manual pages into {}: {error}", folder.display()));
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder)).map_err(failed)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        session.output.raw(&page)?;
    }
    Ok(Exit::Done)
}
