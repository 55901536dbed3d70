//! Saying what is done, how long it took, and what failed.

use std::fmt;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::interrupt;

/// Says in one line what comes, and how long this program has run, in minutes and seconds.
pub(crate) fn say(line: impl fmt::Display) {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    let seconds = STARTED.elapsed().as_secs();
    println!("==> {:02}:{:02} {line}", seconds / 60, seconds % 60);
}

/// Runs a command, and says how long it took.
///
/// # Errors
/// [`Failed`] if it does; [`Interrupted`](interrupt::Interrupted).
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    say(format_args!("{name}: {}", shown(command)));
    let started = Instant::now();
    let status = interrupt::run(command)?;
    if status.success() {
        say(format_args!("{name}: done in {}", seconds(started.elapsed())));
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failed { step: name.to_owned(), command: shown(command), code, after: started.elapsed() }.into())
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    step: String,
    command: String,
    code: u8,
    after: Duration,
}

impl Failed {
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed after {}: `{}`", self.step, seconds(self.after), self.command)
    }
}

impl std::error::Error for Failed {}

/// Such as `12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}
