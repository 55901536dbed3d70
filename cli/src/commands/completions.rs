//! `swarrot completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Prints what a shell needs to complete arguments, such as for /etc/bash_completion.d/swarrot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "swarrot", &mut script);
    session.output.raw(&script)?;
    Ok(Exit::Done)
}
