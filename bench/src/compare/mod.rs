//! Comparisons of swarrot with the raw clients.

mod groups;
mod run;
mod servers;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

pub(crate) use self::groups::Group;
pub(crate) use self::run::Outcomes;
use self::run::Runner;
#[cfg(test)]
pub(crate) use self::table::Shape;
pub(crate) use self::table::median;

/// How to compare.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to compare; all, unless told
    #[arg(value_enum)]
    groups: Vec<Group>,
    /// How often each case runs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only comparisons that have this in their title
    #[arg(long)]
    only: Option<String>,
    /// Where tables and figures go as files
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs comparisons and prints their tables.
///
/// # Errors
/// If a case or a broker fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut runner = Runner::new(args.rounds)?;
    let groups = if args.groups.is_empty() { Group::ALL.to_vec() } else { args.groups.clone() };
    for group in groups {
        let mut outcomes = Vec::new();
        let mut tables = Vec::new();
        for comparison in group.comparisons() {
            if args.only.as_ref().is_some_and(|only| !comparison.title.contains(only)) {
                continue;
            }
            let outcome = runner.run(&comparison)?;
            let table = table::markdown(&outcome);
            println!("{table}");
            tables.push(table);
            outcomes.push(outcome);
        }
        if let Some(out) = &args.out {
            fs::create_dir_all(out)?;
            let file = |end: &str| out.join(format!("{}.{end}", group.name()));
            fs::write(file("md"), tables.join("\n")).context("cannot write the tables")?;
            fs::write(file("json"), serde_json::to_string_pretty(&outcomes)?).context("cannot write the figures")?;
        }
    }
    Ok(())
}
