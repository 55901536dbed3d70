//! `cargo xtask faults`: breaks brokers, connections and processes on purpose, and counts what becomes of every message.
//!
//! The director starts private brokers, and publishers and workers as processes of their own, so that a kill is a kill.
//! Each process notes what it did in a ledger, a file that only grows, and counts nothing before the note is on disk. In
//! the end the director reads all ledgers, and the queues, and says what was lost and what came twice.

mod cut_points;
mod director;
mod pace;
mod plan;
mod report;
mod trial;

mod crew;
mod fault;
mod target;

mod account;
mod books;
mod ledger;
mod load;

mod publisher;
mod worker;

use std::io::Read as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask faults", about = "Breaks things, and counts what becomes of every message")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs faults against brokers of its own, and writes the report
    Run(director::Args),
    /// Publishes, as a process of its own
    #[command(hide = true)]
    Publisher(publisher::Args),
    /// Handles messages, as a process of its own
    #[command(hide = true)]
    Worker(worker::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => director::run(&args).await,
        Command::Publisher(args) => {
            end_with_director();
            publisher::run(args).await
        }
        Command::Worker(args) => {
            end_with_director();
            worker::run(args).await
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The director holds the other end of this pipe: when it is gone, however it ended, so is this process.
fn end_with_director() {
    std::thread::spawn(|| {
        let mut word = [0];
        while std::io::stdin().read(&mut word).is_ok_and(|read| read > 0) {}
        std::process::exit(3);
    });
}
