//! `swarrot topology`.

mod apply;
mod export;
mod file;
mod parts;
mod plan;
mod text;
mod verify;

use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Compares exchanges, queues and bindings with what a file says, and creates what is missing
///
/// The file is a swarrot.toml, or the same in YAML if its name ends in .yaml or .yml, with a table [topology.<broker>];
/// `docs/configuration.md` tells what may stand there. The
/// broker is the one that --url or SWARROT_URL names, or else the one of the file. Nothing is ever deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(plan::Args),
    Apply(apply::Args),
    Verify(verify::Args),
    Export(export::Args),
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    match args.command {
        Command::Plan(args) => plan::run(&args, session).await,
        Command::Apply(args) => apply::run(&args, session).await,
        Command::Verify(args) => verify::run(&args, session).await,
        Command::Export(args) => export::run(&args, session),
    }
}
