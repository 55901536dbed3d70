//! The arguments, and what is wrong with them in one line.

use std::borrow::Cow;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::commands;
use crate::exit::{self, Exit};
use crate::output::note;

/// Publish messages, work on them, look at queues and put things right, on RabbitMQ, Redis or in memory.
#[derive(Debug, Parser)]
#[command(name = "swarrot", version, after_help = exit::HELP, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(clap::Args)]
pub(crate) struct Common {
    /// The broker, such as amqp://user:password@host/vhost or redis://host/0
    #[arg(long, short = 'u', env = "SWARROT_URL", hide_env_values = true, global = true)]
    pub(crate) url: Option<String>,
    /// Writes JSON: an object a line for messages, one document for all else
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Logs more; -vv and -vvv even more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Without the URL, which has a password.
impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Common").field("json", &self.json).field("verbose", &self.verbose).finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Publish(commands::publish::Args),
    Work(commands::work::Args),
    Count(commands::count::Args),
    Peek(commands::peek::Args),
    Get(commands::get::Args),
    Move(commands::move_::Args),
    Dead(commands::dead::Args),
    Purge(commands::purge::Args),
    Delete(commands::delete::Args),
    Tail(commands::tail::Args),
    Bench(commands::bench::Args),
    Topology(commands::topology::Args),
    Top(commands::top::Args),
    Doctor(commands::doctor::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// Reads the arguments of this process.
///
/// # Errors
/// The exit code, once help, version or what is wrong was printed.
pub(crate) fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that has gone does not matter here.
            let _ = error.print();
            Exit::Done
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ => {
            note(format_args!("swarrot: {}", one_line(&error.to_string())));
            Exit::Usage
        }
    })
}

/// What clap says in several paragraphs.
fn one_line(text: &str) -> String {
    let said = text.split("\n\nUsage:").next().unwrap_or(text);
    let said = said.split("\n\nFor more information").next().unwrap_or(said);
    let words = said.strip_prefix("error: ").unwrap_or(said).split_whitespace().map(without_credentials);
    format!("{}; --help says more", words.collect::<Vec<_>>().join(" "))
}

/// A URL that stands where it should not is shown without its user and password.
fn without_credentials(word: &str) -> Cow<'_, str> {
    match word.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => Cow::Owned(format!("{scheme}://…@{host}")),
        None => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistake_is_one_line() {
        let error = Cli::try_parse_from(["swarrot", "peek"]).expect_err("the queue is missing");
        let line = one_line(&error.to_string());
        assert_eq!(line, "the following required arguments were not provided: <QUEUE>; --help says more");
        let error = Cli::try_parse_from(["swarrot", "cuont", "q"]).expect_err("a typo");
        assert!(one_line(&error.to_string()).contains("'count'"), "{error}");
        let error = Cli::try_parse_from(["swarrot", "amqp://u:hunt@er2@host/", "count"]).expect_err("no command");
        let line = one_line(&error.to_string());
        assert!(line.contains("amqp://…@host/") && !line.contains("er2"), "{line}");
    }
}
