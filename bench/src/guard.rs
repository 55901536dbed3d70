//! Limits on instructions and allocations, which do not depend on what else the machine does.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::figures::Figures;

/// Two numbers of messages: what begins and ends a process falls out of the difference.
const MESSAGES: [u64; 2] = [2000, 6000];
const LIMITS: &str = include_str!("../limits.json");

/// How to check.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// This program, with its allocations counted
    #[arg(long)]
    counted: PathBuf,
}

/// What a message may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

/// A name, a case with its options, another one whose cost is taken off, and into how many parts the rest is divided.
type Subject = (&'static str, &'static str, &'static str, f64);

/// What is counted.
const SUBJECTS: [Subject; 5] = [
    ("worker, on memory", "worker --concurrency 100 --prefetch 0", "provider --concurrency 100 --prefetch 200", 1.0),
    ("worker, one at a time", "worker --concurrency 1 --prefetch 100", "provider --concurrency 1 --prefetch 100", 1.0),
    ("memory: publish, receive, ack", "memory-cycle --concurrency 100", "", 1.0),
    ("a layer", "layers --parallelism 10", "layers --parallelism 0", 10.0),
    ("Retry and Timeout", "layers-ours", "layers --parallelism 0", 1.0),
];

/// What is counted besides, where the clients of brokers were built in.
const TRANSLATIONS: [Subject; 4] = [
    ("AMQP encode", "amqp-encode", "", 1.0),
    ("AMQP decode", "amqp-decode", "", 1.0),
    ("Redis encode", "redis-encode", "", 1.0),
    ("Redis decode", "redis-decode", "", 1.0),
];

/// Counts, and compares with the limits.
///
/// # Errors
/// If something costs more than its limit, or cannot be counted.
pub(crate) fn run(args: &Args) -> Result<()> {
    let limits: BTreeMap<String, Cost> = serde_json::from_str(LIMITS).context("cannot read limits.json")?;
    let own = env::current_exe()?;
    let mut beyond = 0;
    println!("| for each message | instructions | limit | allocations | limit |\n|---|--:|--:|--:|--:|");
    let translations = TRANSLATIONS.into_iter().filter(|_| cfg!(feature = "brokers"));
    for (name, case, without, parts) in SUBJECTS.into_iter().chain(translations) {
        let limit = limits.get(name).with_context(|| format!("limits.json has no limit for {name:?}"))?;
        let count = |case: &str| -> Result<Cost> {
            if case.is_empty() {
                return Ok(Cost::default());
            }
            Ok(Cost { instructions: instructions(&own, case)?, allocations: allocations(&args.counted, case)? })
        };
        let (all, rest) = (count(case)?, count(without)?);
        let part = |value: fn(&Cost) -> f64| (value(&all) - value(&rest)) / parts;
        let cost = Cost { instructions: part(|c| c.instructions), allocations: part(|c| c.allocations) };
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} | {:.2} |",
            cost.instructions, limit.instructions, cost.allocations, limit.allocations
        );
        beyond += usize::from(cost.instructions > limit.instructions || cost.allocations > limit.allocations);
    }
    ensure!(
        beyond == 0,
        "{beyond} beyond the limits of bench/limits.json: make it cheaper, or raise the limit and say why"
    );
    Ok(())
}

/// Instructions for each message, as valgrind counts them.
fn instructions(program: &PathBuf, case: &str) -> Result<f64> {
    each(|messages| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
        let output = with_case(&mut command, case, messages).output().context("cannot run valgrind; install it")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.rsplit_once("Collected : "));
        let Some((_, collected)) = collected.filter(|_| output.status.success()) else {
            bail!("the case {case:?} failed under valgrind: {}", said.trim());
        };
        collected.trim().parse::<f64>().context("cannot read what valgrind counted")
    })
}

/// Allocations for each message.
fn allocations(program: &PathBuf, case: &str) -> Result<f64> {
    each(|messages| {
        let mut command = Command::new(program);
        let output = with_case(&mut command, case, messages).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the case {case:?} failed");
        let figures: Figures = serde_json::from_slice(&output.stdout)?;
        Ok(figures.all_allocations)
    })
}

fn each(total: impl Fn(u64) -> Result<f64>) -> Result<f64> {
    let [few, many] = MESSAGES;
    Ok((total(many)? - total(few)?) / (many - few) as f64)
}

fn with_case<'a>(command: &'a mut Command, case: &str, messages: u64) -> &'a mut Command {
    command.arg("case").args(case.split(' ')).arg("--current-thread").arg("--messages").arg(messages.to_string())
}
