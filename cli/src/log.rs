//! What the library logs, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Warnings and errors, unless asked for more. `SWARROT_LOG` has its own way of saying what to show.
pub(crate) fn start(verbose: u8) {
    // lapin logs bodies of messages that come back, and errors that are answers to us.
    let level = match verbose {
        0 => "warn,lapin=off",
        1 => "info,lapin=off",
        2 => "debug,lapin=off",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("SWARROT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Nobody may read stderr any more, which is no reason to stop work: what cannot be written is not said, not even that.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .log_internal_errors(false)
        .init();
}
