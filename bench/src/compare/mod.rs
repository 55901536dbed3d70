//! Comparisons of swarrot with the raw clients.

mod document;
mod groups;
mod peers;
mod run;
mod servers;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub(crate) use self::groups::Group;
pub(crate) use self::run::Outcomes;
use self::run::Runner;
#[cfg(test)]
pub(crate) use self::table::Shape;
pub(crate) use self::table::median;
use crate::plot;

/// How to compare.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to compare; all but `long` and `peers`, unless told
    #[arg(value_enum)]
    groups: Vec<Group>,
    /// How often each case runs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only comparisons that have this in their title
    #[arg(long)]
    only: Option<String>,
    /// The program with the cases of other libraries
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where tables and figures go as files
    #[arg(long)]
    out: Option<PathBuf>,
    /// A document whose tables are to be replaced by these; its pictures are in a folder of its name
    #[arg(long, requires = "out")]
    document: Option<PathBuf>,
}

/// Runs comparisons and prints their tables.
///
/// # Errors
/// If a case or a broker fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let groups = if args.groups.is_empty() { Group::USUAL.to_vec() } else { args.groups.clone() };
    if let Some(document) = &args.document {
        document::check(document, &groups)?;
    }
    ensure!(args.peers.is_some() || !groups.contains(&Group::Peers), "say with --peers which program has their cases");
    let mut runner = Runner::new(args.rounds, args.peers.clone())?;
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
            let figures = merged(read(out, group).unwrap_or_default(), outcomes);
            fs::write(file("json"), serde_json::to_string_pretty(&figures)?).context("cannot write the figures")?;
        }
        if let Some(document) = &args.document {
            document::write(document, group, &tables)?;
        }
    }
    if let (Some(out), Some(document)) = (&args.out, &args.document) {
        plot::draw(out, &document.with_extension(""))?;
    }
    Ok(())
}

/// The figures of a group that an earlier run, or this one, has left in a folder.
///
/// # Errors
/// If there are none.
pub(crate) fn read(folder: &Path, group: Group) -> Result<Vec<Outcomes>> {
    let text = fs::read_to_string(folder.join(format!("{}.json", group.name())));
    let text = text.with_context(|| format!("there are no figures of {}", group.name()))?;
    serde_json::from_str(&text).context("cannot read the figures")
}

/// All, new ones in the place of old ones.
fn merged(old: Vec<Outcomes>, new: Vec<Outcomes>) -> Vec<Outcomes> {
    let kept = old.into_iter().filter(|old| new.iter().all(|new| new.title != old.title));
    kept.collect::<Vec<_>>().into_iter().chain(new).collect()
}
