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
    let loaded = args.source.load()?;
    let broker = loaded.connect(session).await?;
    let parts = Parts(broker.compare(&loaded.topology()).await?);
    session.output.print(&parts.json(), || parts.text())?;
    broker.close().await?;
    Ok(if parts.different() + parts.missing() > 0 { Exit::Failure } else { Exit::Done })
}
