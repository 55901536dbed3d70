//! What the library logs, on stderr.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Below `info` these log URLs and frames as they are, and with them the password.
const INDISCREET: [&str; 2] = ["lapin", "amq_protocol"];

/// Warnings and errors, unless asked for more. `SWARROT_LOG` has its own way of saying what to show; nothing that may have a
/// password in it is shown, unless it names whose logs these are.
pub(crate) fn start(verbose: u8) {
    // lapin logs bodies of messages that come back, and errors that are answers to us.
    let level = match verbose {
        0 => "warn,lapin=off",
        1 => "info,lapin=off",
        2 => "debug,lapin=off",
        _ => "trace",
    };
    let told = EnvFilter::try_from_env("SWARROT_LOG").ok();
    let names = told.as_ref().map(ToString::to_string).unwrap_or_default();
    let filter = told.unwrap_or_else(|| EnvFilter::new(level));
    let hushed: Vec<_> = INDISCREET.into_iter().filter(|name| !names.contains(name)).collect();
    let discreet = filter_fn(move |metadata| {
        *metadata.level() <= LevelFilter::INFO || !hushed.iter().any(|name| metadata.target().starts_with(name))
    });
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Nobody may read stderr any more, which is no reason to stop work: what cannot be written is not said, not even that.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours).log_internal_errors(false);
    tracing_subscriber::registry().with(lines.with_filter(filter.and(discreet))).init();
}
