//! `swarrot topology plan`.

use super::file::Source;
use super::parts::Parts;
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Shows what `apply` would create, and what is in conflict; changes nothing
///
/// It fails if something is in conflict.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit> {
    let parts = Parts::show(&args.source, session).await?;
    Ok(if parts.different() > 0 { Exit::Failure } else { Exit::Done })
}
