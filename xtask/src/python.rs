//! A Python for tests that let a foreign client work beside ours, in an environment of its own below the target folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::succeeds;
use crate::steps::{say, step};
use crate::workspace;

/// A python3 that has pika.
pub(crate) const PYTHON: &str = "SWARROT_TEST_PYTHON";

/// The AMQP client, and the version that the tests know.
const PIKA: &str = "1.4.4";

/// The value of [`PYTHON`]: as given, or a Python with pika, made at the first call.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn with_pika() -> Result<OsString> {
    if let Some(given) = given() {
        say(format_args!("Python: {PYTHON} is set, so nothing is made"));
        return Ok(given);
    }
    let home = home()?;
    let python = program(&home);
    if !has_pika(&python) {
        make(&home)?;
    }
    Ok(python.into_os_string())
}

/// Whoever has set the variable wants to use a Python of their own.
pub(crate) fn given() -> Option<OsString> {
    std::env::var_os(PYTHON)
}

/// A Python with pika, if it was ever made.
///
/// # Errors
/// As [`workspace::target`].
pub(crate) fn made() -> Result<Option<PathBuf>> {
    let python = program(&home()?);
    Ok(has_pika(&python).then_some(python))
}

fn make(home: &Path) -> Result<()> {
    say(format_args!("making a Python with pika {PIKA} in {}; this happens once", home.display()));
    fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
    // Cleared, because it may be half of one, or one of a Python that is gone.
    step("make an environment", Command::new("python3").args(["-m", "venv", "--clear"]).arg(home))?;
    let install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input", "--no-deps"];
    step("install pika", Command::new(program(home)).args(install).arg(format!("pika=={PIKA}")))
}

/// Another version goes elsewhere.
fn home() -> Result<PathBuf> {
    Ok(workspace::target()?.join(format!("python-pika-{PIKA}")))
}

fn program(home: &Path) -> PathBuf {
    home.join("bin/python3")
}

fn has_pika(python: &Path) -> bool {
    let check = format!("import pika; raise SystemExit(pika.__version__ != '{PIKA}')");
    succeeds(Command::new(python).args(["-c", &check]))
}
