//! `cargo xtask tidy`: conventions that code can check, and the generated tables of the README and the documentation.

mod backends;
mod crates;
mod generated;
mod keys;
mod lengths;
mod sources;
mod table;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::steps::say;
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Changes nothing, and fails where a change is due
    #[arg(long)]
    check: bool,
    /// Prints the lines of code of each crate too
    #[arg(long)]
    stats: bool,
}

impl Args {
    pub(crate) fn check() -> Self {
        Self { check: true, stats: false }
    }
}

/// Checks all conventions.
///
/// # Errors
/// If one is broken; each place is printed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    let packages = workspace::packages()?;
    let sources = sources::all(&root)?;

    for long in lengths::noteworthy(&sources) {
        say(format_args!("tidy: long: {long}"));
    }
    if args.stats {
        lengths::print_stats(&sources, &packages, &root);
    }
    let mut problems = lengths::problems(&sources);
    problems.extend(words::problems(&sources));
    problems.extend(crates::problems(&root, &packages)?);
    problems.extend(backends::problems(&packages));
    problems.extend(table::refresh(&root, args.check)?);
    problems.extend(keys::refresh(&root, args.check)?);
    for problem in &problems {
        say(format_args!("tidy: {problem}"));
    }
    match problems.len() {
        0 => say(format_args!("tidy: {} files are as they should be", sources.len())),
        count => bail!("tidy: {count} problems"),
    }
    Ok(())
}

/// What is not as it should be, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    file: PathBuf,
    line: Option<usize>,
    what: String,
}

impl Problem {
    fn new(file: &Path, line: Option<usize>, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        write!(f, ": {}", self.what)
    }
}
