//! `cargo xtask faults`: breaks brokers, connections and processes on purpose, in a program of its own.

use anyhow::Result;

use crate::steps::step;
use crate::{install, interrupt, workspace};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// For the program that does it; `--help` says what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds that program, which links the backends, and runs it.
///
/// # Errors
/// If it finds that a promise was not kept, or brokers cannot be had.
pub(crate) fn run(args: &Args) -> Result<()> {
    interrupt::handle()?;
    if !args.args.iter().any(|arg| arg == "--help" || arg == "-h") {
        install::brokers()?;
    }
    step("faults", workspace::cargo(&["run", "-q", "-p", "swarrot-faults", "--", "run"])?.args(&args.args))
}
