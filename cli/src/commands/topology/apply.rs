//! `swarrot topology apply`.

use swarrot::topology::PartState;

use super::file::Source;
use super::parts::Parts;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::count;
use crate::session::Session;

/// Creates what is missing; nothing at all if something is in conflict
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit> {
    let loaded = args.source.load()?;
    let topology = loaded.topology();
    let broker = loaded.connect(session).await?;
    let before = Parts(broker.compare(&topology).await?);
    let conflict = before.0.iter().find_map(|comparison| match &comparison.state {
        PartState::Different(differences) => {
            Some((&comparison.part, differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))
        }
        _ => None,
    });
    if let Some((part, differences)) = conflict {
        let more = match before.different() - 1 {
            0 => String::new(),
            more => format!("; {more} more are in conflict"),
        };
        return Err(Failure::new(format!(
            "{part} exists with other arguments: {differences}{more}; `topology plan` shows all, nothing was created"
        )));
    }
    broker.declare(&topology).await?;
    session.output.print(&before.json(), || format!("created {}", count(before.missing(), "part")))?;
    broker.close().await?;
    Ok(Exit::Done)
}
