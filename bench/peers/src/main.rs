//! What a message costs with other libraries, by the same cases as swarrot: `cargo xtask bench peers` builds and runs it.
//!
//! A case does one thing for a number of messages in a process of its own, and prints what that cost, as those of
//! `swarrot-bench` do. Each publishes or consumes as the documentation of its library shows it, with the settings that a user who
//! wants throughput would choose. What a case consumes is put there before, as each library has a format of its own; whether all
//! was published, or handled and acknowledged, is seen from what is there afterwards. Other processes do both, so that neither costs
//! the case anything, and whatever a library still holds when it says that it is done is given up.

mod cases;
mod looks;
mod work;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures other libraries as swarrot is measured")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts the messages there that a case consumes
    Fill(Options),
    /// Runs one case, and prints what it cost as JSON
    Case(Options),
    /// Fails unless a case has published, or handled and acknowledged, all messages
    Check(Options),
}

/// Which case, and on what.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Its name
    name: String,
    /// The broker, with nothing in it but the queue
    #[arg(long)]
    url: String,
    /// The queue, which is there on RabbitMQ; prefix of all keys on Redis
    #[arg(long, default_value = "bench")]
    queue: String,
    /// How many messages
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Bytes of each body
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Messages at once: handlers that run, or publishes under way
    #[arg(long, default_value_t = 500)]
    concurrency: usize,
    /// What a consumer may hold, or reads at once
    #[arg(long, default_value_t = 1000)]
    prefetch: u16,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot make a runtime")?;
    match command {
        Command::Fill(options) => runtime.block_on(cases::fill(&options)).context("cannot fill the queue"),
        Command::Case(options) => {
            // In a task of its own, so that no side gains by running in `main`.
            let case = runtime.spawn(cases::run(options));
            let figures = runtime.block_on(case).context("the case panicked")??;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
        Command::Check(options) => runtime.block_on(cases::check(&options)),
    }
}
