//! A file or folder for each command: its arguments, and what it does.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod count;
pub(crate) mod dead;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod get;
pub(crate) mod man;
pub(crate) mod move_;
pub(crate) mod peek;
pub(crate) mod publish;
pub(crate) mod purge;
pub(crate) mod tail;
pub(crate) mod top;
pub(crate) mod topology;
pub(crate) mod work;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Runs a command to its end.
///
/// # Errors
/// Why it ended early.
pub(crate) async fn run(cli: Cli) -> Result<Exit> {
    let session = Session::new(cli.common)?;
    match cli.command {
        Command::Publish(args) => publish::run(args, &session).await,
        Command::Work(args) => work::run(args, &session).await,
        Command::Count(args) => count::run(args, &session).await,
        Command::Peek(args) => peek::run(args, &session).await,
        Command::Get(args) => get::run(args, &session).await,
        Command::Purge(args) => purge::run(args, &session).await,
        Command::Tail(args) => tail::run(args, &session).await,
        Command::Bench(args) => bench::run(args, &session).await,
        Command::Topology(args) => topology::run(args, &session).await,
        Command::Top(args) => top::run(args, &session).await,
        Command::Doctor(args) => doctor::run(args, &session).await,
        Command::Completions(args) => completions::run(&args, &session),
        Command::Man(args) => man::run(&args, &session),
        Command::Dead(args) => dead::run(args, &session).await,
        Command::Move(args) => move_::run(args, &session).await,
        Command::Delete(args) => delete::run(args, &session).await,
    }
}
