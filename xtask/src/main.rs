//! The commands of this repository: `cargo xtask test`, `ci`, `brokers`, `faults`, `fuzz`, `bench`, `tidy`.

mod bench;
mod brokers;
mod ci;
mod faults;
mod fuzz;
mod pictures;
mod test;
mod tidy;

mod install;
mod interrupt;
mod lanes;
mod python;
mod rabbitmq4;
mod steps;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::interrupt::Interrupted;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The commands of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all tests, on private brokers that it installs, starts and ends
    Test(test::Args),
    /// Brokers for working by hand, kept in `.brokers/`
    #[command(subcommand)]
    Brokers(brokers::Command),
    /// Breaks brokers, connections and processes, and counts what becomes of every message
    Faults(faults::Args),
    /// Feeds strange input to all that decodes what strangers send
    Fuzz(fuzz::Args),
    /// What a message costs, beside the raw clients
    Bench(bench::Args),
    /// All that has to pass before a change is merged
    Ci(ci::Args),
    /// Draws the README's pictures anew, from what the command prints
    Pictures,
    /// Checks the conventions of this repository, and writes the generated table of the README
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Brokers(command) => brokers::run(&command),
        Command::Faults(args) => faults::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Pictures => pictures::run(),
        Command::Tidy(args) => tidy::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("xtask: interrupted");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            // The exit code of a failed program, such as cargo's 101 for failed tests, is handed on.
            let code = error.downcast_ref::<steps::Failed>().map_or(1, steps::Failed::code);
            ExitCode::from(code)
        }
    }
}
