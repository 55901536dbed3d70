//! The command `swarrot`.

#![expect(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "the help of the arguments is made from their comments, where marks would show"
)]

mod args;
mod commands;

mod exit;
mod failure;
mod lines;
mod log;
mod message;
mod output;
mod pace;
mod parse;
mod progress;
mod queues;
mod session;
mod stop;
mod sweeping;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    // A line of the log would stand in the middle of what `top` draws.
    let draws = matches!(cli.command, args::Command::Top(_)) && !cli.common.json;
    if !draws {
        log::start(cli.common.verbose);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(commands::run(cli));
            // What still waits for its input, such as a reader of stdin, is not waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::new(format!("cannot start threads: {error}; raise the limit of processes"))),
    };
    match ended {
        Ok(exit) => exit,
        Err(failure) => failure.print(),
    }
    .into()
}
