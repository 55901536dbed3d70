//! `swarrot topology verify`.

use super::file::Source;
use super::parts::Parts;
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Fails if something is missing or in conflict; changes nothing
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit> {
    let parts = Parts::show(&args.source, session).await?;
    Ok(if parts.different() + parts.missing() > 0 { Exit::Failure } else { Exit::Done })
}
