//! What commands print.

mod ago;
mod ask;
mod table;

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

pub(crate) use self::ago::ago;
pub(crate) use self::ask::confirm;
pub(crate) use self::table::table;
use crate::failure::{Failure, Result};

/// Says a line on stderr. Nobody may read it any more, which is no reason to stop.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Where a command prints: text for people, or JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether it is JSON that is wanted.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a value as one line of JSON, or otherwise this text, and makes sure that it is out.
    ///
    /// # Errors
    /// If the output is closed.
    pub(crate) fn print<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            let line = serde_json::to_string(value).map_err(|error| Failure::new(format!("no JSON: {error}")))?;
            self.raw(format!("{line}\n").as_bytes())
        } else {
            let mut text = text();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            self.raw(text.as_bytes())
        }
    }

    /// Prints bytes as they are, and makes sure that they are out.
    ///
    /// # Errors
    /// If the output is closed.
    #[expect(clippy::unused_self, reason = "who prints has an output")]
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }
}

/// A number of something, with its unit.
pub(crate) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A time in seconds since the Unix epoch, in UTC.
pub(crate) fn time(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) {
        // What is beyond the year 9999 cannot be formatted.
        Some(at) if seconds < 253_402_300_800 => humantime::format_rfc3339_seconds(at).to_string(),
        _ => format!("{seconds} s"),
    }
}
