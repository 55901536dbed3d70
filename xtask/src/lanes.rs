//! The test programs of the workspace, in three lanes at once.
//!
//! Most of their time they wait for brokers, so each of the two that take longest has a lane of its own, beside that of all others.
//! Within a lane one program runs after the other, since some break the broker that they share.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::interrupt;
use crate::steps::{say, seconds};
use crate::workspace;

/// The folders of the packages that have a lane of their own: no other disturbs the servers that they use.
const ASIDE: [&str; 2] = ["backend-amqp", "backend-redis"];
/// A program that takes longer will never end: three times what the longest takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// The same for the conformance suite, which takes longest by far.
const SUITE_LIMIT: Duration = Duration::from_secs(40 * 60);
/// How often it is said what runs.
const REPORT: Duration = Duration::from_secs(120);
/// Of what failed, this much is said again in the end.
const RECAP_LINES: usize = 60;

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
    let hall = Hall::default();
    let lane = |programs: Vec<Program>| {
        let mut failed = Vec::new();
        for program in programs {
            failed.extend(program.run(variables, &hall)?);
        }
        Ok::<_, anyhow::Error>(failed)
    };
    let lane = &lane;
    let failed: Vec<Result<Vec<Failure>>> = thread::scope(|scope| {
        // Nobody sends anything: the other end is dropped when all lanes are done.
        let (done, end) = mpsc::channel::<()>();
        scope.spawn(|| {
            let end = end;
            while end.recv_timeout(REPORT) == Err(RecvTimeoutError::Timeout) {
                hall.report();
            }
        });
        let lanes: Vec<_> = lanes.into_iter().map(|programs| scope.spawn(move || lane(programs))).collect();
        let panicked = |_| Err(anyhow!("the thread of a lane panicked"));
        let failed = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(panicked)).collect();
        drop(done);
        failed
    });
    let failed = failed.into_iter().collect::<Result<Vec<_>>>()?.concat();
    if failed.is_empty() {
        say(format_args!("tests: done in {}", seconds(started.elapsed())));
        return Ok(());
    }
    // Far above, between what others printed, nobody finds it.
    for failure in &failed {
        say(format_args!("{} failed:\n{}", failure.program, failure.recap));
    }
    Err(Failed(failed.into_iter().map(|failure| failure.program).collect()).into())
}

/// Where all lanes are.
#[derive(Default)]
struct Hall {
    /// One speaks at a time.
    output: Mutex<()>,
    running: Mutex<Vec<(String, Instant)>>,
}

impl Hall {
    fn enter(&self, program: &str) {
        self.running().push((program.to_owned(), Instant::now()));
    }

    fn leave(&self, program: &str) {
        self.running().retain(|(name, _)| name != program);
    }

    /// Says what runs: of a run that somebody ends, this is all that is seen of it.
    fn report(&self) {
        let shown = |(name, since): &(String, Instant)| format!("{name} for {}", seconds(since.elapsed()));
        let running = self.running().iter().map(shown).collect::<Vec<_>>().join(", ");
        let _speaks = self.output.lock();
        say(format_args!("running: {running}"));
    }

    fn running(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program that failed, and what it said of it.
#[derive(Clone)]
struct Failure {
    program: String,
    recap: String,
}

/// What a test program says of its failures, without that which passed.
fn recap(text: &str) -> String {
    let failures = text.find("\nfailures:\n").map_or(text, |at| &text[at..]);
    let lines: Vec<&str> = failures.lines().filter(|line| !line.is_empty()).collect();
    let (first, last) = (RECAP_LINES / 2, lines.len().saturating_sub(RECAP_LINES / 2));
    if lines.len() <= RECAP_LINES {
        return lines.join("\n");
    }
    [&lines[..first], &["…"], &lines[last..]].concat().join("\n")
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
    fn limit(&self) -> Duration {
        if self.name.contains(": conformance ") { SUITE_LIMIT } else { LIMIT }
    }

    /// Runs it; what failed, if its tests did not pass.
    fn run(&self, variables: &[(&str, String)], hall: &Hall) -> Result<Option<Failure>> {
        let started = Instant::now();
        hall.enter(&self.name);
        let mut printed = tempfile::tempfile().context("cannot make a file for what tests print")?;
        let clone = |file: &File| file.try_clone().context("cannot keep what tests print");
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let status = interrupt::run_for(command.stdout(clone(&printed)?).stderr(clone(&printed)?), self.limit())?;
        hall.leave(&self.name);
        let mut text = Vec::new();
        printed.rewind()?;
        printed.read_to_end(&mut text)?;
        let _speaks = hall.output.lock();
        let verdict = if status.success() { "passed" } else { "FAILED" };
        say(format_args!("{} {verdict} in {}", self.name, seconds(started.elapsed())));
        std::io::stdout().write_all(&text)?;
        if status.success() {
            return Ok(None);
        }
        let recap = recap(&String::from_utf8_lossy(&text));
        let recap = if started.elapsed() < self.limit() {
            recap
        } else {
            format!("{recap}\nit had not ended after {} min and was killed", self.limit().as_secs() / 60)
        };
        Ok(Some(Failure { program: self.name.clone(), recap }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recap_leaves_out_what_passed() {
        let text =
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b ----\nno\n\n\nfailures:\n    b\n";
        assert_eq!(recap(text), "failures:\n---- b ----\nno\nfailures:\n    b");
    }

    #[test]
    fn a_long_recap_has_a_beginning_and_an_end() {
        let said: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
        let lines = recap(&format!("\nfailures:\n{}", said.join("\n")));
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[1], lines[RECAP_LINES]), (RECAP_LINES + 1, "failures:", "0", "999"));
    }

    #[test]
    fn a_program_that_prints_no_failures_is_shown_whole() {
        assert_eq!(recap("Segmentation fault"), "Segmentation fault");
    }
}
