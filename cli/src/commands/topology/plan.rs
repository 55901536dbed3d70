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
    let loaded = args.source.load()?;
    let broker = loaded.connect(session).await?;
    let parts = Parts(broker.compare(&loaded.topology()).await?);
    session.output.print(&parts.json(), || parts.text())?;
    broker.close().await?;
    Ok(if parts.different() > 0 { Exit::Failure } else { Exit::Done })
}
