//! The test programs of the workspace, in three lanes at once.
//!
//! Most of their time they wait for brokers, so each of the two that take longest has a lane of its own, beside that of all others.
//! Within a lane one program runs after the other, since some break the broker that they share.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::interrupt;
use crate::steps::{say, seconds};
use crate::workspace;

/// The folders of the packages that have a lane of their own: no other disturbs the servers that they use.
const ASIDE: [&str; 2] = ["backend-amqp", "backend-redis"];

/// A program that cargo made of tests.
struct Program {
    name: String,
    /// The folder of its package, where it runs.
    dir: PathBuf,
    executable: PathBuf,
}

/// Runs all test programs, which were built before. What a program prints comes when it has ended.
///
/// # Errors
/// If one fails, once all have run; [`Interrupted`](interrupt::Interrupted).
pub(crate) fn run(variables: &[(&str, String)]) -> Result<()> {
    let started = Instant::now();
    let mut others = programs()?;
    say(format_args!("tests: {} programs, those of {} beside the others", others.len(), ASIDE.join(" and of ")));
    let of = |dir| others.extract_if(.., |program| program.dir.ends_with(dir)).collect();
    let mut lanes = Vec::from(ASIDE.map(of));
    lanes.push(others);
    // One speaks at a time.
    let output = Mutex::new(());
    let lane = |programs: Vec<Program>| {
        let mut failed = Vec::new();
        for program in programs {
            if !program.run(variables, &output)? {
                failed.push(program.name);
            }
        }
        Ok::<_, anyhow::Error>(failed)
    };
    let lane = &lane;
    let failed: Vec<Result<Vec<String>>> = thread::scope(|scope| {
        let lanes: Vec<_> = lanes.into_iter().map(|programs| scope.spawn(move || lane(programs))).collect();
        let panicked = |_| Err(anyhow!("the thread of a lane panicked"));
        lanes.into_iter().map(|lane| lane.join().unwrap_or_else(panicked)).collect()
    });
    let failed = failed.into_iter().collect::<Result<Vec<_>>>()?.concat();
    if failed.is_empty() {
        say(format_args!("tests: done in {}", seconds(started.elapsed())));
        return Ok(());
    }
    Err(Failed(failed).into())
}

/// Some test programs failed.
#[derive(Debug)]
pub(crate) struct Failed(Vec<String>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the test programs failed: {}", self.0.len(), self.0.join(", "))
    }
}

impl std::error::Error for Failed {}

impl Program {
    /// Whether its tests passed.
    fn run(&self, variables: &[(&str, String)], output: &Mutex<()>) -> Result<bool> {
        let started = Instant::now();
        // Of one that never ends, this is all that is seen.
        say(format_args!("{} begins", self.name));
        let mut printed = tempfile::tempfile().context("cannot make a file for what tests print")?;
        let clone = |file: &File| file.try_clone().context("cannot keep what tests print");
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let status = interrupt::run(command.stdout(clone(&printed)?).stderr(clone(&printed)?))?;
        let mut text = Vec::new();
        printed.rewind()?;
        printed.read_to_end(&mut text)?;
        let _speaks = output.lock();
        let verdict = if status.success() { "passed" } else { "FAILED" };
        say(format_args!("{} {verdict} in {}", self.name, seconds(started.elapsed())));
        std::io::stdout().write_all(&text)?;
        Ok(status.success())
    }
}

/// A line of what cargo says of a build, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// What cargo would run.
fn programs() -> Result<Vec<Program>> {
    let args = ["test", "--workspace", "--all-features", "--no-run", "--message-format", "json-render-diagnostics"];
    let output = workspace::cargo(&args)?.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot build the tests: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let root = workspace::root()?;
    let mut programs = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).context("cannot read what cargo says")?;
        let Line {
            manifest_path: Some(manifest),
            target: Some(target),
            profile: Some(profile),
            executable: Some(executable),
        } = line
        else {
            continue;
        };
        if profile.test {
            let dir = manifest.parent().context("a package without a folder")?.to_owned();
            let place = match dir.strip_prefix(&root) {
                Ok(place) if place.as_os_str().is_empty() => "root".to_owned(),
                place => place.unwrap_or(&dir).display().to_string(),
            };
            let name = format!("{place}: {} ({})", target.name, target.kind.join(", "));
            programs.push(Program { name, dir, executable });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
