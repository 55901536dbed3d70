//! `swarrot dead`: what was given up on.

mod discard;
mod export;
mod import;
mod list;
mod retry;
mod selection;
mod show;

use swarrot::message::names;

use crate::exit::Exit;
use crate::failure::Result;
use crate::session::Session;

/// Looks at dead letters, and puts them back to work
///
/// QUEUE is the queue where they failed; its dead letters are in <queue>.dead, which may be named too.
///
/// RabbitMQ cannot look at messages without taking them: there, they are taken and given back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Retry(retry::Args),
    Drop(discard::Args),
    Export(export::Args),
    Import(import::Args),
}

pub(crate) async fn run(args: Args, session: &Session) -> Result<Exit> {
    match args.command {
        Command::List(args) => list::run(args, session).await,
        Command::Show(args) => show::run(args, session).await,
        Command::Retry(args) => retry::run(args, session).await,
        Command::Drop(args) => discard::run(args, session).await,
        Command::Export(args) => export::run(args, session).await,
        Command::Import(args) => import::run(args, session).await,
    }
}

/// The queue of a queue's dead letters, and the queue itself, whichever is named.
fn both(queue: &str) -> (String, String) {
    let suffix = names::dead_letter_queue("");
    match queue.strip_suffix(&suffix).filter(|source| !source.is_empty()) {
        Some(source) => (queue.to_owned(), source.to_owned()),
        None => (names::dead_letter_queue(queue), queue.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_may_be_named() {
        let expected = ("mails.dead".to_owned(), "mails".to_owned());
        assert_eq!(both("mails"), expected);
        assert_eq!(both("mails.dead"), expected);
    }
}
