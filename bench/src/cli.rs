//! The command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[cfg(feature = "brokers")]
use crate::compare;
use crate::{cases, guard, meter};

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Compares swarrot with the raw clients")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one case, and prints what it cost as JSON
    Case(cases::Options),
    /// Runs comparisons, and prints their tables
    #[cfg(feature = "brokers")]
    Compare(compare::Args),
    /// Counts instructions and allocations, and fails beyond the limits
    Check(guard::Args),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    meter::start();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Case(options) => println!("{}", serde_json::to_string(&cases::run(options)?)?),
        #[cfg(feature = "brokers")]
        Command::Compare(args) => compare::run(&args)?,
        Command::Check(args) => guard::run(&args)?,
    }
    Ok(())
}
